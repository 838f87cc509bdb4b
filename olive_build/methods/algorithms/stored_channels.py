"""Large weights as int8 with a scale for each channel, expanded by plain ONNX operators.

W becomes Cast(int8) * scale, both of constants: runtimes compute that once, when they load the file
(onnxruntime's constant folding, core/optimizer/constant_folding.cc of microsoft/onnxruntime).
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.methods.algorithms.layouts import symmetric_int8
from olive_build.methods.algorithms.tables import look_up, looks_up
from olive_build.rewrites.rule import Rewritten
from olive_build.steps.model_check import LARGE_WEIGHT


def store_channels(model: onnx.ModelProto, excluded: set[str]) -> Rewritten:
    """Store the large weights of MatMul, Gemm and Gather nodes outside `excluded`.

    The count is of weights; a table that is looked up in is read row by row and never expanded,
    unless a product reads it too.
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer if _is_large(tensor)}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            if name in tensors:
                readers.setdefault(name, []).append(node)
    count, declined = 0, []
    for name, nodes in readers.items():
        axis = _channel_axis(name, nodes)
        if any(node.name in excluded for node in nodes):
            continue
        if axis is None:
            others = [node for node in nodes if _axis_of(name, node) is None] or nodes
            by = ", ".join(f"{node.op_type} '{node.name}'" for node in others)
            declined.append(f"{name}: read by {by}, whose channels are not its rows or columns")
            continue
        _store(model, tensors[name], nodes, axis)
        count += 1
    return Rewritten(count, tuple(declined))


def _is_large(tensor: onnx.TensorProto) -> bool:
    dims = tuple(tensor.dims)
    return (
        tensor.data_type == TensorProto.FLOAT
        and len(dims) == 2
        and dims[0] * dims[1] >= LARGE_WEIGHT
    )


def _channel_axis(name: str, nodes: list[onnx.NodeProto]) -> int | None:
    """Return the axis of the weight's output channels, or of its rows; None for other readers."""
    axes = [_axis_of(name, node) for node in nodes]
    return None if None in axes or len(set(axes)) > 1 else axes[0]


def _axis_of(name: str, node: onnx.NodeProto) -> int | None:
    if looks_up(node, name):
        return 0
    if node.op_type not in ("MatMul", "Gemm") or len(node.input) < 2 or node.input[1] != name:
        return None
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if transposed else 1


def _store(
    model: onnx.ModelProto, tensor: onnx.TensorProto, nodes: list[onnx.NodeProto], axis: int
) -> None:
    graph = model.graph
    integers, scale = symmetric_int8(numpy_helper.to_array(tensor), axis)
    name, stored, scales = tensor.name, f"{tensor.name}_int8", f"{tensor.name}_scale"
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(integers, stored))
    graph.initializer.append(numpy_helper.from_array(scale, scales))
    lookups = [node for node in nodes if looks_up(node, name)]
    for node in lookups:
        position = list(graph.node).index(node)
        for step, added in enumerate(look_up(node, stored, scales)):
            graph.node.insert(position + step, added)
        graph.node.remove(node)
    if len(lookups) < len(nodes):
        wide = f"{name}/wide"
        cast = helper.make_node("Cast", [stored], [wide], name=wide, to=TensorProto.FLOAT)
        graph.node.insert(0, cast)
        graph.node.insert(1, helper.make_node("Mul", [wide, scales], [name], name=f"{name}/scaled"))
