"""A Split of which only some outputs have a gradient becomes a Slice for each one read: exact.

SplitGrad of onnxruntime-training joins the gradients that there are, and the sum of their sizes is
then not that of the input: `ShapeInferenceError: Incompatible dimensions` when the device loads it.
Operator: Split, opset 18.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate, pairwise

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.gradient_paths import GradientPaths, gradient_paths
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import (
    attribute_of,
    constants,
    fresh_name,
    name_of,
    replace_nodes,
)

SIZES = 1


def split_as_slices(model: onnx.ModelProto, trainable: Collection[str]) -> Rewritten:
    """Rewrite every Split whose outputs have gradients in part; say why others stay."""
    graph = model.graph
    paths = gradient_paths(model, trainable)
    read = {name for node in graph.node for name in node.input}
    read.update(value.name for value in graph.output)
    slices: dict[int, list[onnx.NodeProto]] = {}
    declined = []
    for index, node in enumerate(graph.node):
        if not has_gradient_in_part(node, paths):
            continue
        sizes = sizes_of(node, model, paths)
        if sizes is None:
            declined.append(f"{name_of(node)}: the sizes of its parts are not known")
        else:
            slices[index] = _slices(graph, node, sizes, read)
    replace_nodes(graph, slices)
    return Rewritten(len(slices), tuple(declined))


def has_gradient_in_part(node: onnx.NodeProto, paths: GradientPaths) -> bool:
    """Whether a gradient comes into some outputs of this Split and not into others."""
    carrying = [paths.carries(name) for name in node.output]
    return node.op_type == "Split" and any(carrying) and not all(carrying)


def sizes_of(
    node: onnx.NodeProto, model: onnx.ModelProto, paths: GradientPaths
) -> list[int] | None:
    """Return the length of each part along the axis; None where the graph does not say."""
    if len(node.input) > SIZES and node.input[SIZES]:
        given = constants(model).get(node.input[SIZES])
        return None if given is None else [int(size) for size in given]
    known = paths.types.get(node.input[0])
    length = known.shape[attribute_of(node, "axis", 0)] if known and known.shape else None
    if length is None:
        return None
    parts = len(node.output)
    # Equal parts, rounded up; the last one has what is left.
    size = -(-length // parts)
    return [size] * (parts - 1) + [length - size * (parts - 1)]


def _slices(
    graph: onnx.GraphProto, node: onnx.NodeProto, sizes: Sequence[int], read: Collection[str]
) -> list[onnx.NodeProto]:
    def stored(kind: str, value: int) -> str:
        name = fresh_name(graph, f"{node.output[0]}_{kind}")
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
        return name

    made = []
    axis = stored("axis", attribute_of(node, "axis", 0))
    borders = pairwise(accumulate(sizes, initial=0))
    for part, (output, (start, end)) in enumerate(zip(node.output, borders, strict=True)):
        if output not in read:
            continue
        inputs = [node.input[0], stored("start", start), stored("end", end), axis]
        one = helper.make_node("Slice", inputs, [output], f"{name_of(node)}/{part}")
        one.metadata_props.extend(node.metadata_props)
        made.append(one)
    return made
