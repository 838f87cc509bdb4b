"""A writer of the graphs that prepare pictures, in one kind of number, with branches by size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from olive_build.families.graph_writer import GraphWriter, tensor_info


class Nodes(GraphWriter):
    """Nodes and constants without names of their own.

    `kind` is the type of the values that are worked on: numpy's float32 or float64.
    """

    def __init__(self, prefix: str, kind: type[np.floating[Any]] = np.float32) -> None:
        super().__init__(prefix)
        self.kind = kind

    @property
    def element(self) -> int:
        """ONNX's number of `kind`."""
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(self.kind)))

    def whole(self, value: npt.ArrayLike) -> str:
        """Keep a constant of int64."""
        return self.shared(value, np.int64)

    def double(self, value: npt.ArrayLike) -> str:
        """Keep a constant of float64."""
        return self.shared(value, np.float64)

    def choose(self, condition: str, then: Nodes, otherwise: Nodes, results: Sequence[str]) -> str:
        """Add an If over the outputs `results` of two branches, of `kind`; return its output."""
        ends = [tensor_info(end, self.element, None) for end in results]
        branches = [
            helper.make_graph(branch.nodes, name, [], [end])
            for name, branch, end in zip(("then", "else"), (then, otherwise), ends, strict=True)
        ]
        return self.add("If", [condition], then_branch=branches[0], else_branch=branches[1])

    def as_double(self, value: str) -> str:
        """Return a value as float64."""
        return self.add("Cast", [value], to=TensorProto.DOUBLE)
