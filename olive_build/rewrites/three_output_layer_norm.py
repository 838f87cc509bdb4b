"""LayerNormalization as its gradient wants it: with its mean and deviation, and with a bias. Exact.

The gradient is computed from the mean and the inverse standard deviation, which are optional
outputs that exporters leave out; the gradient builder of onnxruntime-training then stops with
`GradientBuilderBase::O ... i < node_->OutputDefs().size() was false`, and for a missing bias with
`GradientBuilderBase::GI`. Operator: LayerNormalization, opset 17.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

from olive_build.rewrites.gradient_paths import gradient_paths
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import fresh_name, name_of

OUTPUTS = ("mean", "inverse_deviation")
SCALE, BIAS = 1, 2


def three_output_layer_norm(model: onnx.ModelProto, trainable: Collection[str]) -> Rewritten:
    """Complete every LayerNormalization that a gradient goes through; say why others stay."""
    paths = gradient_paths(model, trainable)
    count = 0
    declined = []
    for node in model.graph.node:
        if node.op_type != "LayerNormalization" or not paths.trained(node):
            continue
        if len(node.output) == 1 + len(OUTPUTS) and all(node.output) and _has_bias(node):
            continue
        if not _has_bias(node) and not _add_bias(model.graph, node):
            declined.append(f"{name_of(node)}: it has no bias, and its scale is no stored value")
            continue
        _add_outputs(model.graph, node)
        count += 1
    return Rewritten(count, tuple(declined))


def _has_bias(node: onnx.NodeProto) -> bool:
    return len(node.input) > BIAS and bool(node.input[BIAS])


def _add_bias(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    scale = next((t for t in graph.initializer if t.name == node.input[SCALE]), None)
    if scale is None:
        return False
    name = fresh_name(graph, f"{node.output[0]}_zero_bias")
    zeros = np.zeros(tuple(scale.dims), onnx.helper.tensor_dtype_to_np_dtype(scale.data_type))
    graph.initializer.append(numpy_helper.from_array(zeros, name))
    del node.input[BIAS:]
    node.input.append(name)
    return True


def _add_outputs(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    names = list(node.output)
    for place, kind in enumerate(OUTPUTS, 1):
        if place >= len(names):
            names.append("")
        names[place] = names[place] or fresh_name(graph, f"{names[0]}_{kind}")
    del node.output[:]
    node.output.extend(names)
