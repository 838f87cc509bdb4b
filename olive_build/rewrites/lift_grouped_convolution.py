"""A grouped convolution over one axis becomes one over two, the second of size 1: exact.

ConvGrad of onnxruntime-training 1.19.2 hands the size of all channels to Col2imNd for each group
(orttraining/orttraining/training_ops/cpu/nn/conv_grad.cc), which then sets to zero what lies behind
the gradient of its input: wrong losses, wrong gradients of whatever was there, crashes. That is so
for every number of axes but two, every kernel, and only where the input needs a gradient; gradients
of the weights alone are right. Over two axes another function runs, which is right.

One convolution over [1, length] takes half the time of `groups` convolutions and a Concat, and
stays one node for the hundreds of groups of a depthwise convolution. The weight keeps its name and
shape [out, in / groups, kernel] as a parameter: the axis is added in the graph.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.gradient_paths import GradientPaths, gradient_paths
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import attribute_of, fresh_name, name_of, replace_nodes

# Where the axis of size 1 goes: before the length, so that rows stay contiguous.
AXIS = 2
# The value each attribute has for the axis that is added.
ADDED = {"kernel_shape": 1, "strides": 1, "dilations": 1}


def lift_grouped_convolution(model: onnx.ModelProto, trainable: Collection[str]) -> Rewritten:
    """Lift every grouped Conv over one axis whose input needs a gradient."""
    graph = model.graph
    paths = gradient_paths(model, trainable)
    found = {i: n for i, n in enumerate(graph.node) if corrupts_memory(n, paths)}
    lifted = {i: node for i, node in found.items() if _axes(node, paths) == 1}
    declined = tuple(
        f"{name_of(node)}: it is not over one axis" for i, node in found.items() if i not in lifted
    )
    if lifted:
        axis = fresh_name(graph, "lifted_axis")
        graph.initializer.append(numpy_helper.from_array(np.array([AXIS], np.int64), axis))
        replace_nodes(graph, {i: _lifted(node, axis) for i, node in lifted.items()})
    return Rewritten(len(lifted), declined)


def corrupts_memory(node: onnx.NodeProto, paths: GradientPaths) -> bool:
    """Whether the gradient of this convolution would write where it must not."""
    return (
        node.op_type == "Conv"
        and attribute_of(node, "group", 1) > 1
        and paths.trained(node)
        and paths.carries(node.input[0])
        and _axes(node, paths) != 2
    )


def _axes(node: onnx.NodeProto, paths: GradientPaths) -> int | None:
    """Return how many axes the convolution goes over; None where no shape says so."""
    for name in (node.input[1], node.input[0]):
        known = paths.types.get(name)
        if known is not None and known.shape is not None:
            return len(known.shape) - 2
    kernel = attribute_of(node, "kernel_shape")
    return len(kernel) if kernel else None


def _lifted(node: onnx.NodeProto, axis: str) -> list[onnx.NodeProto]:
    out = node.output[0]
    given, weight, result = (f"{out}_lifted_{part}" for part in ("input", "weight", "output"))
    conv = onnx.NodeProto()
    conv.CopyFrom(node)
    conv.input[0], conv.input[1] = given, weight
    conv.output[0] = result
    for attribute in conv.attribute:
        if attribute.name in ADDED:
            attribute.ints.insert(0, ADDED[attribute.name])
        elif attribute.name == "pads":
            before, after = attribute.ints
            attribute.ints[:] = [0, before, 0, after]
    return [
        _named(helper.make_node("Unsqueeze", [node.input[0], axis], [given]), node, "input"),
        _named(helper.make_node("Unsqueeze", [node.input[1], axis], [weight]), node, "weight"),
        conv,
        _named(helper.make_node("Squeeze", [result, axis], [out]), node, "output"),
    ]


def _named(made: onnx.NodeProto, node: onnx.NodeProto, part: str) -> onnx.NodeProto:
    made.name = f"{name_of(node)}/{part}"
    made.metadata_props.extend(node.metadata_props)
    return made
