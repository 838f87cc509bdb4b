"""x W -> (x / s) (s W), a scale for each input channel: exact in real numbers.

What a quantizer cannot hold in x, a channel a hundred times larger than the others, moves into the
weight, which has a scale for every output. x / s costs nothing where what makes x is linear: it
is folded into the weights there. Elsewhere (a LayerNormalization whose output feeds a residual
too) it becomes an explicit Mul.

The idea is SmoothQuant's (Xiao et al. 2022, arXiv 2211.10438); which s is good is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.rule import Rewritten

Floats = npt.NDArray[np.float32]
DOMAIN = "com.microsoft"
VALUE, BIAS = 2, 3  # inputs of MultiHeadAttention


def migrate_scale(model: onnx.ModelProto, scales: Mapping[str, Floats]) -> Rewritten:
    """Rewrite each value in `scales`: {name of x: s [channels]}, for all MatMuls that x feeds.

    Every reader of x that is a MatMul with a stored weight is given x / s and s W. The count is of
    values. Raises KeyError for a value that no such MatMul reads.
    """
    graph = _Graph(model)
    folded = 0
    for name, scale in scales.items():
        readers = graph.products_of(name)
        if not readers:
            raise KeyError(name)
        for node in readers:
            graph.scale_rows(node.input[1], scale)
        folded += _divide(graph, name, readers, scale)
    return Rewritten(len(scales), (f"{len(scales) - folded} by an explicit Mul",) if scales else ())


@dataclass
class _Graph:
    model: onnx.ModelProto

    def __post_init__(self) -> None:
        graph = self.model.graph
        self.stored = {tensor.name: tensor for tensor in graph.initializer}
        self.producer = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.outputs = {value.name for value in graph.output}

    def products_of(self, name: str) -> list[onnx.NodeProto]:
        return [
            node
            for node in self.readers.get(name, [])
            if node.op_type == "MatMul" and node.input[0] == name and node.input[1] in self.stored
        ]

    def only_read_by(self, name: str, readers: list[onnx.NodeProto]) -> bool:
        return name not in self.outputs and len(self.readers.get(name, [])) == len(readers)

    def scale_rows(self, name: str, scale: Floats) -> None:
        """Multiply the rows of a stored weight [channels, outputs]."""
        self._replace(name, numpy_helper.to_array(self.stored[name]) * scale[:, None])

    def divide_columns(self, name: str, scale: Floats, last: int) -> None:
        """Divide the last `last` entries of a stored value's last axis by `scale` [last]."""
        value = numpy_helper.to_array(self.stored[name]).copy()
        value[..., -last:] /= scale
        self._replace(name, value)

    def can_change(self, name: str) -> bool:
        return name in self.stored and len(self.readers[name]) == 1

    def _replace(self, name: str, value: Floats) -> None:
        self.stored[name].CopyFrom(
            numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
        )


def _divide(graph: _Graph, name: str, readers: list[onnx.NodeProto], scale: Floats) -> bool:
    """Divide x by the scale; return whether that could be folded into what makes x."""
    node = graph.producer.get(name)
    if node is not None and graph.only_read_by(name, readers):
        if node.op_type == "LayerNormalization" and _fold_into_norm(graph, node, scale):
            return True
        if node.op_type == "MultiHeadAttention" and _fold_into_value(graph, node, scale):
            return True
    _multiply(graph, name, readers, scale)
    return False


def _fold_into_norm(graph: _Graph, node: onnx.NodeProto, scale: Floats) -> bool:
    parameters = [n for n in node.input[1:] if n]
    if not all(graph.can_change(n) for n in parameters):
        return False
    for n in parameters:
        graph.divide_columns(n, scale, len(scale))
    return True


def _fold_into_value(graph: _Graph, node: onnx.NodeProto, scale: Floats) -> bool:
    """Fold into the value projection: attention's output is a mean of values, so it is linear.

    Knows the packed projection that Split takes apart, and a projection of its own.
    """
    if node.domain != DOMAIN or len(node.input) <= VALUE:
        return False
    made = graph.producer.get(node.input[VALUE])
    if made is not None and made.op_type == "Split" and made.output[-1] == node.input[VALUE]:
        made = graph.producer.get(made.input[0])
    bias = node.input[BIAS] if len(node.input) > BIAS else ""
    if made is None or made.op_type != "MatMul" or not graph.can_change(made.input[1]):
        return False
    if bias and not graph.can_change(bias):
        return False
    graph.divide_columns(made.input[1], scale, len(scale))
    if bias:
        graph.divide_columns(bias, scale, len(scale))
    return True


def _multiply(graph: _Graph, name: str, readers: list[onnx.NodeProto], scale: Floats) -> None:
    inner, factor = f"{name}/smoothed", f"{name}/smoothing"
    nodes = graph.model.graph.node
    position = min(index for index, node in enumerate(nodes) if any(node is r for r in readers))
    for node in readers:
        node.input[0] = inner
    nodes.insert(position, helper.make_node("Mul", [name, factor], [inner], name=inner))
    graph.model.graph.initializer.append(
        numpy_helper.from_array((1 / scale).astype(np.float32), factor)
    )
