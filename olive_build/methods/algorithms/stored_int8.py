"""Large weights in int8: each behind a DequantizeLinear, or expanded by plain ONNX operators.

In the second form W is Cast(int8) * scale, both of constants: runtimes compute that once, when they
load the file (onnxruntime's constant folding, core/optimizer/constant_folding.cc of
microsoft/onnxruntime).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.methods.algorithms.layouts import symmetric_int8
from olive_build.methods.algorithms.tables import look_up, looks_up
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import attribute_of
from olive_build.steps.model_check import LARGE_WEIGHT

OLDEST_OPSET = 13  # the first DequantizeLinear with a scale for each channel


def dequantize_weights(
    model: onnx.ModelProto, excluded: set[str], *, per_channel: bool
) -> Rewritten:
    """Quantize the large weights of Conv, ConvTranspose, Gemm and MatMul; say why others stay."""
    opset = next((i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        return Rewritten(0, (f"the graph has opset {opset}, and {OLDEST_OPSET} is needed",))
    tensors = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) > 1
        and int(np.prod(tensor.dims)) >= LARGE_WEIGHT
    }
    chosen: dict[str, int] = {}
    declined: list[str] = []
    for node in model.graph.node:
        axis = _outputs_axis(node)
        if axis is None or node.name in excluded or node.input[1] not in tensors:
            continue
        if chosen.setdefault(node.input[1], axis) != axis:
            declined.append(f"{node.name}: another node uses its weight along another axis")
    for name, axis in chosen.items():
        _dequantize(model.graph, tensors[name], axis if per_channel else None, excluded)
    return Rewritten(len(chosen), tuple(declined))


def _outputs_axis(node: onnx.NodeProto) -> int | None:
    if node.op_type == "Gemm":
        return 0 if attribute_of(node, "transB") else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}.get(node.op_type)


def _dequantize(
    graph: onnx.GraphProto, tensor: onnx.TensorProto, axis: int | None, excluded: set[str]
) -> None:
    """Put the weight behind a DequantizeLinear for all of its readers but the excluded."""
    values, scale = symmetric_int8(numpy_helper.to_array(tensor), axis)
    name = tensor.name
    stored, scales, weight = f"{name}_int8", f"{name}_scale", f"{name}_dequantized"
    graph.initializer.append(numpy_helper.from_array(values, stored))
    graph.initializer.append(
        numpy_helper.from_array(scale.reshape(() if axis is None else -1), scales)
    )
    added = helper.make_node("DequantizeLinear", [stored, scales], [weight], weight, axis=axis)
    left = False
    for node in graph.node:
        if name in node.input and (_outputs_axis(node) is None or node.name in excluded):
            left = True
        elif name in node.input:
            for position, given in enumerate(node.input):
                if given == name:
                    node.input[position] = weight
    if not left:
        graph.initializer.remove(tensor)
    graph.node.insert(0, added)


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
    transposed = attribute_of(node, "transB")
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
