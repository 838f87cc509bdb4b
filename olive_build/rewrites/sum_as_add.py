"""Sum becomes a chain of Add: exact. onnxruntime-training has a gradient for Add alone.

ONNX's own definition of Gelu by tanh holds a Sum. Operator: Sum, opset 13.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import helper

from olive_build.rewrites.gradient_paths import gradient_paths
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import name_of, replace_nodes


def sum_as_add(model: onnx.ModelProto, trainable: Collection[str]) -> Rewritten:
    """Rewrite every Sum that a gradient goes through."""
    paths = gradient_paths(model, trainable)
    made = {
        index: _added(node)
        for index, node in enumerate(model.graph.node)
        if node.op_type == "Sum" and paths.trained(node)
    }
    replace_nodes(model.graph, made)
    return Rewritten(len(made))


def _added(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    first, *others = node.input
    if not others:
        return [_named(helper.make_node("Identity", [first], node.output), node, 0)]
    made = []
    for place, other in enumerate(others, 1):
        out = node.output[0] if place == len(others) else f"{node.output[0]}/{place}"
        made.append(_named(helper.make_node("Add", [first, other], [out]), node, place))
        first = out
    return made


def _named(made: onnx.NodeProto, node: onnx.NodeProto, place: int) -> onnx.NodeProto:
    made.name = f"{name_of(node)}/{place}"
    made.metadata_props.extend(node.metadata_props)
    return made
