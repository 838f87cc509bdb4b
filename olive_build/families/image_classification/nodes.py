"""Nodes of a graph that is written by hand: each call adds one and returns its output's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass
class Nodes:
    """Nodes and constants with names that begin with `prefix`.

    `kind` is the type of the values that are worked on: numpy's float32 or float64.
    """

    prefix: str
    kind: type[np.floating[Any]] = np.float32
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    @property
    def element(self) -> int:
        """ONNX's number of `kind`."""
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(self.kind)))

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output: `output`, or one of its own."""
        name = f"{self.prefix}/{len(self.nodes)}/{operator}"
        made = output or f"{name}/output"
        self.nodes.append(helper.make_node(operator, inputs, [made], name=name, **attributes))
        return made

    def constant(self, value: npt.ArrayLike, kind: type[np.generic]) -> str:
        """Add a constant and return its name; equal ones are stored once."""
        tensor = numpy_helper.from_array(np.asarray(value, kind))
        for known in self.constants:
            same = (known.data_type, known.dims, known.raw_data)
            if same == (tensor.data_type, tensor.dims, tensor.raw_data):
                return known.name
        tensor.name = f"{self.prefix.partition('/')[0]}/constant/{len(self.constants)}"
        self.constants.append(tensor)
        return tensor.name

    def whole(self, value: npt.ArrayLike) -> str:
        """Add a constant of int64."""
        return self.constant(value, np.int64)

    def double(self, value: npt.ArrayLike) -> str:
        """Add a constant of float64."""
        return self.constant(value, np.float64)

    def choose(self, condition: str, then: Nodes, otherwise: Nodes, results: Sequence[str]) -> str:
        """Add an If over the outputs `results` of two branches, of `kind`; return its output."""
        ends = [helper.make_tensor_value_info(end, self.element, None) for end in results]
        branches = [
            helper.make_graph(branch.nodes, name, [], [end])
            for name, branch, end in zip(("then", "else"), (then, otherwise), ends, strict=True)
        ]
        return self.add("If", condition, then_branch=branches[0], else_branch=branches[1])

    def branch(self, name: str) -> Nodes:
        """Return nodes of a branch, which read what is around them; its constants are there."""
        prefix = f"{self.prefix}/{len(self.nodes)}/{name}"
        return Nodes(prefix, self.kind, constants=self.constants)

    def as_double(self, value: str) -> str:
        """Return a value as float64."""
        return self.add("Cast", value, to=TensorProto.DOUBLE)
