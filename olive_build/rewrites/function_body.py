"""Operators without a gradient, written out in those that have one: exact up to rounding.

ONNX defines HardSwish, Elu, Softplus, PRelu, GroupNormalization and others by simpler operators
(https://onnx.ai/onnx/operators/, "Function"); the package onnx has these definitions. Whatever is
not on a gradient's way keeps its one kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx
from onnx import helper, inliner

from olive_build.rewrites.gradient_paths import GradientPaths, gradient_paths
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import ValueType, name_of, replace_nodes

# A definition may be made of operators that are defined by others again: HardSwish, HardSigmoid.
DEPTH = 4


def write_out_functions(
    model: onnx.ModelProto,
    trainable: Collection[str],
    lacks: Callable[[onnx.NodeProto, GradientPaths], bool],
) -> Rewritten:
    """Replace each trained node that `lacks` a gradient and has a definition by the definition."""
    count = 0
    for _ in range(DEPTH):
        paths = gradient_paths(model, trainable)
        written = {}
        for index, node in enumerate(model.graph.node):
            if paths.trained(node) and lacks(node, paths) and _is_function(node, model):
                body = _body(node, model, paths)
                if body:
                    written[index] = body
        if not written:
            break
        replace_nodes(model.graph, written)
        count += len(written)
    return Rewritten(count)


def _opset(model: onnx.ModelProto) -> int:
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def _is_function(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    if node.domain not in ("", "ai.onnx"):
        return False
    try:
        schema = onnx.defs.get_schema(node.op_type, _opset(model))
    except onnx.defs.SchemaError:
        return False
    kinds = ("has_function", "has_context_dependent_function")
    return any(getattr(schema, kind) for kind in kinds)


def _body(
    node: onnx.NodeProto, model: onnx.ModelProto, paths: GradientPaths
) -> list[onnx.NodeProto]:
    """Return the nodes of the definition; none where the inputs' types are not known."""
    names = [name for name in node.input if name]
    types = [paths.types.get(name) for name in names]
    if None in types:
        return []
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    del alone.metadata_props[:]
    _fill_defaults(alone, _opset(model))
    graph = helper.make_graph(
        [alone],
        "alone",
        [_info(name, kind) for name, kind in dict(zip(names, types, strict=True)).items() if kind],
        [helper.make_tensor_value_info(n, types[0].element, None) for n in node.output if n],  # type: ignore[union-attr]
    )
    imports = [helper.make_opsetid("", _opset(model))]
    small = helper.make_model(graph, opset_imports=imports, ir_version=model.ir_version)
    out = inliner.inline_selected_functions(
        small, [(node.domain, node.op_type)], inline_schema_functions=True
    )
    nodes = list(out.graph.node)
    if any(one.op_type == node.op_type for one in nodes):
        return []
    return [_renamed(one, node, place) for place, one in enumerate(nodes)]


def _fill_defaults(node: onnx.NodeProto, opset: int) -> None:
    """Write out attributes that have a default, since the definition refers to them by name."""
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in onnx.defs.get_schema(node.op_type, opset).attributes.items():
        if name not in given and attribute.default_value.name:
            node.attribute.append(attribute.default_value)


def _info(name: str, kind: ValueType) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, kind.element, None if kind.shape is None else list(kind.shape)
    )


def _renamed(one: onnx.NodeProto, node: onnx.NodeProto, place: int) -> onnx.NodeProto:
    """Give the values inside a definition unique names, and its nodes the layer they came from."""
    outer = {*node.input, *node.output, ""}
    for names in (one.input, one.output):
        names[:] = [n if n in outer else f"{node.output[0]}/{n}" for n in names]
    one.name = f"{name_of(node)}/{place}"
    one.metadata_props.extend(node.metadata_props)
    return one
