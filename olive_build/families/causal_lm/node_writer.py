"""Nodes and constants in the order in which they are made, each under the name of what it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class NodeWriter:
    """Collects what a graph is made of; full names are `prefix`/name."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    @property
    def constants(self) -> list[TensorProto]:
        return list(self._constants.values())

    def constant(self, name: str, value: Any, dtype: Any = np.int64) -> str:
        """Keep `value` as a tensor and return its full name; the same name twice is one tensor."""
        full = f"{self._prefix}/{name}"
        self._constants[full] = numpy_helper.from_array(np.array(value, dtype), full)
        return full

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append a node of one output and return the output's full name."""
        return self.add_as(operator, inputs, f"{self._prefix}/{name}", **attributes)

    def add_as(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node whose output is called `output`, without the prefix, and return that."""
        name = output if output.startswith(f"{self._prefix}/") else f"{self._prefix}/{output}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name=name, **attributes)
        )
        return output

    def cast(self, value: str, kind: int, name: str) -> str:
        """Append a Cast to an element type of TensorProto."""
        return self.add("Cast", [value], name, to=kind)

    def columns(self, value: str, start: str, stop: str, name: str, axis: int = 1) -> str:
        """Append a Slice of one axis; `start` and `stop` are names of tensors [1]."""
        return self.add("Slice", [value, start, stop, self.number(axis)], name)

    def number(self, value: int) -> str:
        """Keep a whole number as a tensor [1]."""
        return self.constant(f"number_{value}".replace("-", "minus_"), [value])
