"""Writing a graph by hand: each call adds a node or a constant, and returns its value's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

EXTENSIONS = "ai.onnx.contrib"
IR_VERSION = 10


class GraphWriter:
    """Nodes and constants in the order in which they are made, all named `prefix`/...

    `domain` is what nodes of ONNX's own operators say of theirs: nothing, or an empty text.
    """

    def __init__(self, prefix: str, domain: str | None = None) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self._domain = domain

    def branch(self, name: str = "") -> Self:
        """Return a writer for a graph inside; its constants are kept in this graph.

        With a `name` its own names begin with that and the place of the node that it is made for.
        """
        inner = copy(self)
        inner.nodes = []
        inner.prefix = f"{self.prefix}/{len(self.nodes)}/{name}" if name else self.prefix
        return inner

    def constant(self, name: str, value: Any, dtype: Any = np.int64) -> str:
        """Keep `value` as a tensor and return its full name; the same name twice is one tensor."""
        full = f"{self.prefix}/{name}"
        self.constants[full] = numpy_helper.from_array(np.array(value, dtype), full)
        return full

    def shared(self, value: npt.ArrayLike, dtype: type[np.generic]) -> str:
        """Keep a tensor without a name of its own; equal ones are stored once."""
        tensor = numpy_helper.from_array(np.asarray(value, dtype))
        for known in self.constants.values():
            same = (known.data_type, known.dims, known.raw_data)
            if same == (tensor.data_type, tensor.dims, tensor.raw_data):
                return known.name
        tensor.name = f"{self.prefix.partition('/')[0]}/constant/{len(self.constants)}"
        self.constants[tensor.name] = tensor
        return tensor.name

    def number(self, value: int) -> str:
        """Keep a whole number as a tensor [1]."""
        return self.constant(f"number_{value}".replace("-", "minus_"), [value])

    def strings(self, name: str, *values: bytes) -> str:
        """Keep strings of any bytes, string [value], and return the tensor's full name."""
        full = f"{self.prefix}/{name}"
        self.constants[full] = string_tensor(full, values)
        return full

    def add(self, operator: str, inputs: Sequence[str], *names: str, **attributes: Any) -> str:
        """Append a node with an output for each name; return the first one's full name.

        Without a name it is called by its place and operator.
        """
        if self._domain is not None:
            attributes.setdefault("domain", self._domain)
        if names:
            outputs = [f"{self.prefix}/{name}" for name in names]
            return self._append(operator, inputs, outputs, outputs[0], attributes)
        own = self._numbered(operator)
        return self._append(operator, inputs, [f"{own}/output"], own, attributes)

    def output(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        *,
        numbered: bool = False,
        **attributes: Any,
    ) -> str:
        """Append the node that makes the value `name` of the graph, without the prefix."""
        own = self._numbered(operator) if numbered else f"{self.prefix}/{name}"
        return self._append(operator, inputs, [name], own, attributes)

    def cast(self, value: str, kind: int, name: str) -> str:
        """Append a Cast to an element type of TensorProto."""
        return self.add("Cast", [value], name, to=kind)

    def columns(self, value: str, start: str, stop: str, name: str, axis: int = 1) -> str:
        """Append a Slice of one axis; `start` and `stop` are names of tensors [1]."""
        return self.add("Slice", [value, start, stop, self.number(axis)], name)

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        opsets: Mapping[str, int],
        value_info: Sequence[onnx.ValueInfoProto] = (),
    ) -> onnx.ModelProto:
        """Return the finished model; equal calls give equal bytes."""
        constants = list(self.constants.values())
        graph = helper.make_graph(
            self.nodes, name, list(inputs), list(outputs), constants, value_info=value_info
        )
        return model_of(graph, opsets, IR_VERSION)

    def _numbered(self, operator: str) -> str:
        return f"{self.prefix}/{len(self.nodes)}/{operator}"

    def _append(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        name: str,
        attributes: Mapping[str, Any],
    ) -> str:
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs[0]


def model_of(graph: onnx.GraphProto, opsets: Mapping[str, int], ir: int) -> onnx.ModelProto:
    """Return a graph as a model; `opsets` are versions by domain, in the order of the file."""
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, each) for domain, each in opsets.items()],
        ir_version=ir,
        producer_name="olive_build",
    )


def imports_of(*models: onnx.ModelProto) -> dict[str, int]:
    """Return what models import together, sorted by domain; of one twice the last's version."""
    found = {item.domain: item.version for model in models for item in model.opset_import}
    return dict(sorted(found.items()))


def tensor_info(
    name: str, kind: int, axes: Sequence[str | int | None] | None
) -> onnx.ValueInfoProto:
    """Return an input or output of an element type; its axes are numbers, or names where free."""
    return helper.make_tensor_value_info(name, kind, axes)


def string_tensor(name: str, values: Sequence[bytes]) -> TensorProto:
    """Return a tensor of any bytes, string [value]; numpy would insist on text."""
    tensor = TensorProto(name=name, data_type=TensorProto.STRING, dims=[len(values)])
    tensor.string_data.extend(values)
    return tensor


def free_names(model: onnx.ModelProto, reserved: set[str]) -> None:
    """Rename a graph's inner values that have names which a composed graph needs for its ends."""
    graph = model.graph
    for value in (*graph.value_info, *graph.initializer):
        if value.name in reserved:
            value.name = f"{value.name}/inner"
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name in reserved:
                    names[index] = f"{name}/inner"
