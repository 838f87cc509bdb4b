"""Weights stored in int8, each behind a DequantizeLinear of its own."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.methods.algorithms.layouts import symmetric_int8
from olive_build.rewrites.rule import Rewritten
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
        _store(model.graph, tensors[name], axis if per_channel else None, excluded)
    return Rewritten(len(chosen), tuple(declined))


def _outputs_axis(node: onnx.NodeProto) -> int | None:
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}.get(node.op_type)


def _store(
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
    attributes = {} if axis is None else {"axis": axis}
    added = helper.make_node("DequantizeLinear", [stored, scales], [weight], name=weight)
    added.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
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
