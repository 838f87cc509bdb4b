"""Lookup tables to int8 rows with a scale each.

A scale for the whole table, which onnxruntime's dynamic quantizer takes, follows its largest value
and costs rare words their bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.quantizers.algorithms.gptq import Floats
from olive_build.rewrites.rule import Rewritten
from olive_build.steps.model_check import LARGE_WEIGHT

Rows = npt.NDArray[np.int8]


def quantize_tables(model: onnx.ModelProto, excluded: set[str]) -> Rewritten:
    """Quantize every large table that only Gather nodes read; say why others stay."""
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
        other = next((node for node in nodes if not _looks_up(node, name)), None)
        if other is not None or name in outputs:
            by = f"{other.op_type} '{other.name}'" if other is not None else "the graph's output"
            declined.append(f"{name}: {by} needs it in fp32")
            continue
        chosen[name] = nodes
    for name, nodes in chosen.items():
        _quantize(graph, tensors[name], nodes)
    return Rewritten(sum(len(nodes) for nodes in chosen.values()), tuple(declined))


def rows_as_int8(table: Floats) -> tuple[Rows, Floats]:
    """Return int8 rows [rows, ...] and the scale of each, [rows, 1 ...]; a row of zeros has 1."""
    axes = tuple(range(1, table.ndim))
    scale = np.abs(table).max(axis=axes, keepdims=True) / np.float32(127)
    scale = np.where(scale == 0, np.float32(1), scale).astype(np.float32)
    return np.clip(np.rint(table / scale), -127, 127).astype(np.int8), scale


def _is_table(tensor: onnx.TensorProto, nodes: list[onnx.NodeProto]) -> bool:
    return (
        tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) >= 2
        and int(np.prod(tensor.dims)) >= LARGE_WEIGHT
        and any(_looks_up(node, tensor.name) for node in nodes)
    )


def _looks_up(node: onnx.NodeProto, name: str) -> bool:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    return node.op_type == "Gather" and node.input[0] == name and axis == 0


def _quantize(
    graph: onnx.GraphProto, tensor: onnx.TensorProto, lookups: list[onnx.NodeProto]
) -> None:
    rows, scale = rows_as_int8(numpy_helper.to_array(tensor))
    stored, scales = f"{tensor.name}_int8", f"{tensor.name}_row_scale"
    graph.initializer.append(numpy_helper.from_array(rows, stored))
    graph.initializer.append(numpy_helper.from_array(scale, scales))
    graph.initializer.remove(tensor)
    for node in lookups:
        position = list(graph.node).index(node)
        for step, added in enumerate(_lookup(node, stored, scales)):
            graph.node.insert(position + step, added)
        graph.node.remove(node)


def _lookup(node: onnx.NodeProto, stored: str, scales: str) -> list[onnx.NodeProto]:
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
