"""An average over windows becomes a depthwise convolution with equal weights: exact up to rounding.

AveragePoolGrad of onnxruntime-training 1.19.2 takes the shape of its result from the file when a
device loads it. With a free axis, the batch as a rule, that shape is empty: `Can broadcast 0 by 0
or 1`, or the process dies of a division by zero. Operators: AveragePool, opset 19; Conv, opset 11.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.gradient_paths import GradientPaths, gradient_paths
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import attribute_of, fresh_name, name_of, replace_nodes

KEPT = ("pads", "strides", "dilations", "auto_pad", "kernel_shape")


def average_pool_as_convolution(model: onnx.ModelProto, trainable: Collection[str]) -> Rewritten:
    """Rewrite every AveragePool with a free axis that a gradient goes through."""
    graph = model.graph
    paths = gradient_paths(model, trainable)
    made: dict[int, list[onnx.NodeProto]] = {}
    declined = []
    for index, node in enumerate(graph.node):
        if not (paths.trained(node) and has_free_axis(node, paths)):
            continue
        channels = _channels(node, paths)
        if channels is None:
            declined.append(f"{name_of(node)}: its number of channels is not known")
        elif reason := _uneven(node):
            declined.append(f"{name_of(node)}: {reason}")
        else:
            made[index] = [_convolution(graph, node, channels)]
    replace_nodes(graph, made)
    return Rewritten(len(made), tuple(declined))


def has_free_axis(node: onnx.NodeProto, paths: GradientPaths) -> bool:
    """Whether this is an AveragePool whose input's shape is not known in full."""
    if node.op_type != "AveragePool":
        return False
    known = paths.types.get(node.input[0])
    return known is None or known.shape is None or None in known.shape


def _channels(node: onnx.NodeProto, paths: GradientPaths) -> int | None:
    known = paths.types.get(node.input[0])
    return known.shape[1] if known and known.shape else None


def _uneven(node: onnx.NodeProto) -> str | None:
    """Return why windows at the border have other weights than those inside."""
    if attribute_of(node, "ceil_mode", 0):
        return "its last windows are cut (ceil_mode)"
    padded = any(attribute_of(node, "pads", ())) or attribute_of(node, "auto_pad", b"") in (
        b"SAME_UPPER",
        b"SAME_LOWER",
    )
    if padded and not attribute_of(node, "count_include_pad", 0):
        return "it does not count its padding"
    return None


def _convolution(graph: onnx.GraphProto, node: onnx.NodeProto, channels: int) -> onnx.NodeProto:
    window = list(attribute_of(node, "kernel_shape"))
    weight = np.full((channels, 1, *window), 1 / prod(window), np.float32)
    name = fresh_name(graph, f"{node.output[0]}_window")
    graph.initializer.append(numpy_helper.from_array(weight, name))
    made = helper.make_node("Conv", [node.input[0], name], node.output, node.name, group=channels)
    made.attribute.extend(a for a in node.attribute if a.name in KEPT)
    made.metadata_props.extend(node.metadata_props)
    return made
