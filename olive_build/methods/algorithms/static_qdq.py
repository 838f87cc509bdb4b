"""QuantizeLinear and DequantizeLinear around what is to run in integers, with ranges given.

onnxruntime's QDQQuantizer places the pairs; the ranges are ours, since its calibrators keep every
sample's values in memory, and so does Olive's pass, which calls them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from olive_build.calibration.ranges import Range

# What onnxruntime fuses into integer kernels on CPUs when all of it is quantized.
CONVOLUTIONAL = frozenset(
    "Add AveragePool Clip Concat Conv ConvTranspose Flatten Gemm GlobalAveragePool LeakyRelu "
    "MatMul MaxPool Mul Relu Reshape Resize Squeeze Transpose Unsqueeze".split()
)
# In transformers the residual stream and the attention scores do not survive eight bits.
PRODUCTS = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
NORMALIZATIONS = frozenset(
    "LayerNormalization SkipLayerNormalization RMSNormalization "
    "SimplifiedLayerNormalization".split()
)
# qnn/quant_config.py of onnxruntime leaves it out as well.
NEVER = frozenset(("Cast", "Constant", "QuantizeLinear", "DequantizeLinear"))


def default_operators(model: onnx.ModelProto, activations: str) -> frozenset[str]:
    """Return which operators to quantize where the recipe does not say.

    16-bit activations are for NPUs, which want all of a graph in integers. With 8 bits it is all
    of a convolution net, and of a transformer the products with stored weights.
    """
    kinds = {node.op_type for node in model.graph.node}
    if activations == "uint16":
        return frozenset(kinds - NEVER)
    return PRODUCTS if kinds & NORMALIZATIONS else CONVOLUTIONAL


def nodes_to_quantize(
    model: onnx.ModelProto, operators: frozenset[str], excluded: set[str], *, stored_only: bool
) -> list[onnx.NodeProto]:
    """Return the nodes that get the pairs; `stored_only` leaves out products of activations."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type in operators
        and node.name not in excluded
        and (not stored_only or node.op_type not in PRODUCTS or node.input[1] in stored)
    ]


def values_of(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> list[str]:
    """Return the names of what the nodes read and write that is computed or given, sorted."""
    stored = {tensor.name for tensor in model.graph.initializer}
    computed = {name for node in model.graph.node for name in node.output}
    known = computed | {value.name for value in model.graph.input}
    names = {name for node in nodes for name in (*node.input, *node.output)}
    return sorted((names & known) - stored)


def with_fills(ranges: Mapping[str, Range], fills: Mapping[str, float]) -> dict[str, Range]:
    """Return the ranges, those of masks and masked scores widened by what hides a key.

    Calibration inputs may have no padding. A score below the range would not be hidden by it.
    """
    return {
        name: Range(min(found.lowest, fills[name] + min(found.lowest, 0)), found.highest)
        if name in fills
        else found
        for name, found in ranges.items()
    }


def insert_pairs(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    ranges: Mapping[str, Range],
    *,
    activations: str,
    weights: str,
    per_channel: bool,
) -> onnx.ModelProto:
    """Return the model with the nodes quantized over the ranges; biases become int32.

    uint8 and uint16 activations have zero points; int8 weights are symmetric, uint8 ones are not.
    Below opset 21, 16 bits need the pairs of com.microsoft, which onnxruntime's CPU and QNN run.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    _declare_types(model, ranges)
    add_infer_metadata(model)  # it would infer types itself, which stops at contrib operators
    kinds = {
        "uint8": QuantType.QUInt8, "int8": QuantType.QInt8, "uint16": QuantType.QUInt16,
    }  # fmt: skip
    found = {
        name: TensorData(lowest=np.float32(r.lowest), highest=np.float32(r.highest))
        for name, r in ranges.items()
    }
    quantizer = QDQQuantizer(
        model,
        per_channel,
        False,
        kinds[weights],
        kinds[activations],
        TensorsData(CalibrationMethod.MinMax, found),
        [node.name for node in nodes],
        [],
        sorted({node.op_type for node in nodes}),
        _options(activations, weights),
    )
    quantizer.quantize_model()
    result: onnx.ModelProto = quantizer.model.model
    return result


def _options(activations: str, weights: str) -> dict[str, Any]:
    return {
        "ActivationSymmetric": False,
        "WeightSymmetric": weights == "int8",
        "DefaultTensorType": TensorProto.FLOAT,
        "UseQDQContribOps": activations == "uint16",
    }


def _declare_types(model: onnx.ModelProto, ranges: Mapping[str, Range]) -> None:
    """Declare every value with a range as fp32; the quantizer skips values without a type."""
    graph = model.graph
    kept = [v for v in graph.value_info if v.name not in ranges]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    declared = {value.name for value in (*graph.input, *graph.output)}
    for name in sorted(set(ranges) - declared):
        graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
