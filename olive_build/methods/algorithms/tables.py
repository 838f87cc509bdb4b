"""Lookup tables to int8 rows with a scale each.

A scale for the whole table, which onnxruntime's dynamic quantizer takes, follows its largest value
and costs rare words their bits. Where a product reads the same table (tied embeddings), it reads
the same int8 rows: a row is an output of the product, so its scale is per channel.

Operator: com.microsoft QGemm, docs/ContribOperators.md of microsoft/onnxruntime.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.methods.algorithms.layouts import symmetric_int8
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import attribute_of
from olive_build.steps.model_check import LARGE_WEIGHT

DOMAIN = "com.microsoft"


def quantize_tables(model: onnx.ModelProto, excluded: set[str]) -> Rewritten:
    """Quantize every large table that Gather nodes read, and Gemm by its transpose at most.

    The count is of their readers; says why others stay.
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    chosen, declined = find_tables(model, excluded)
    for name, nodes in chosen.items():
        _quantize(model, tensors[name], nodes)
    return Rewritten(sum(len(nodes) for nodes in chosen.values()), tuple(declined))


def find_tables(
    model: onnx.ModelProto, excluded: set[str]
) -> tuple[dict[str, list[onnx.NodeProto]], list[str]]:
    """Return the large tables that may be stored otherwise with all their readers, and why not.

    Readers are Gather nodes along axis 0 and Gemm nodes that multiply by the table's transpose.
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in graph.output}
    declined: list[str] = []
    chosen: dict[str, list[onnx.NodeProto]] = {}
    for name, nodes in readers.items():
        tensor = tensors.get(name)
        if tensor is None or not _is_table(tensor, nodes) or any(n.name in excluded for n in nodes):
            continue
        other = next((node for node in nodes if not _can_read(node, name)), None)
        if other is not None or name in outputs:
            by = f"{other.op_type} '{other.name}'" if other is not None else "the graph's output"
            declined.append(f"{name}: {by} needs it in fp32")
            continue
        chosen[name] = nodes
    return chosen, declined


def _is_table(tensor: onnx.TensorProto, nodes: list[onnx.NodeProto]) -> bool:
    return (
        tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) >= 2
        and int(np.prod(tensor.dims)) >= LARGE_WEIGHT
        and any(looks_up(node, tensor.name) for node in nodes)
    )


def looks_up(node: onnx.NodeProto, name: str) -> bool:
    """Return whether the node reads rows of the table `name`."""
    is_rows = attribute_of(node, "axis", 0) == 0
    return node.op_type == "Gather" and node.input[0] == name and is_rows


def _multiplies(node: onnx.NodeProto, name: str) -> bool:
    """Return whether the node is x times the transpose of the table, and nothing more."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    plain = attributes.get("alpha", 1.0) == 1.0 and not attributes.get("transA", 0)
    return (
        node.op_type == "Gemm"
        and len(node.input) == 2
        and node.input[1] == name != node.input[0]
        and plain
        and bool(attributes.get("transB", 0))
    )


def _can_read(node: onnx.NodeProto, name: str) -> bool:
    return looks_up(node, name) or _multiplies(node, name)


def import_contrib(model: onnx.ModelProto) -> None:
    """Let the model use operators of com.microsoft."""
    if DOMAIN not in {item.domain for item in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _quantize(
    model: onnx.ModelProto, tensor: onnx.TensorProto, readers: list[onnx.NodeProto]
) -> None:
    graph = model.graph
    rows, scale = symmetric_int8(numpy_helper.to_array(tensor), 0)
    stored, scales = f"{tensor.name}_int8", f"{tensor.name}_row_scale"
    graph.initializer.append(numpy_helper.from_array(rows, stored))
    graph.initializer.append(numpy_helper.from_array(scale, scales))
    graph.initializer.remove(tensor)
    products = [node for node in readers if not looks_up(node, tensor.name)]
    if products:
        import_contrib(model)
        zeros = np.zeros(len(rows), np.int8)
        graph.initializer.append(numpy_helper.from_array(zeros, f"{stored}/zero"))
        graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{scales}/flat"))
    for node in readers:
        position = list(graph.node).index(node)
        make = _product if node in products else look_up
        for step, added in enumerate(make(node, stored, scales)):
            graph.node.insert(position + step, added)
        graph.node.remove(node)


def _product(node: onnx.NodeProto, stored: str, scales: str) -> list[onnx.NodeProto]:
    """Return x, quantized by its own range, times the stored rows."""
    name = node.name or node.output[0]
    given = [f"{name}/{part}" for part in ("uint8", "scale", "zero")]
    weight = [stored, f"{scales}/flat", f"{stored}/zero"]
    return [
        helper.make_node("DynamicQuantizeLinear", [node.input[0]], given, name=f"{name}/range"),
        helper.make_node(
            "QGemm",
            [given[0], given[1], given[2], *weight],
            [node.output[0]],
            name=node.name,
            domain=DOMAIN,
            transB=1,
        ),
    ]


def look_up(node: onnx.NodeProto, stored: str, scales: str) -> list[onnx.NodeProto]:
    """Return what gives the rows that a Gather wants, from int8 rows and the scale of each."""
    name, output = node.name or node.output[0], node.output[0]
    part = {key: f"{output}/{key}" for key in ("rows", "fp32", "scale")}
    return [
        # It keeps the name, by which reports and `exclude` know it.
        helper.make_node("Gather", [stored, node.input[1]], [part["rows"]], name=node.name, axis=0),
        helper.make_node(
            "Gather", [scales, node.input[1]], [part["scale"]], name=f"{name}/scale", axis=0
        ),
        helper.make_node(
            "Cast", [part["rows"]], [part["fp32"]], name=f"{name}/fp32", to=TensorProto.FLOAT
        ),
        helper.make_node("Mul", [part["fp32"], part["scale"]], [output], name=f"{name}/scaled"),
    ]
