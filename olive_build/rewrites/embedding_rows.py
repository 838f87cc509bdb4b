"""Gather(table, ids) -> Gather(int8 table, ids) * Gather(scales, ids), a scale for each row.

Rows of a table are read one by one, so a scale for each costs four bytes a row and loses next to
nothing; one scale for the table is set by its largest row.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.rewrites.rule import Rewritten

LARGEST = 127
TINY = 1e-12


def embedding_rows(
    model: onnx.ModelProto, *, at_least: int, exclude: Collection[str] = ()
) -> Rewritten:
    """Rewrite each Gather of a stored fp32 table [rows, width] of `at_least` values.

    A table that something else reads too is left alone, since it would then be stored twice.
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    nodes: list[onnx.NodeProto] = []
    declined: list[str] = []
    packed: dict[str, tuple[str, str]] = {}
    for node in graph.node:
        table = stored.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or node.name in exclude or not _fits(node, table, at_least):
            nodes.append(node)
        elif any(reader.op_type != "Gather" for reader in readers[table.name]):
            declined.append(f"{node.name}: its table is read by other operators too")
            nodes.append(node)
        else:
            if table.name not in packed:
                packed[table.name] = _pack(graph, table)
            nodes.extend(_gather_rows(node, *packed[table.name]))
    kept = [tensor for tensor in graph.initializer if tensor.name not in packed]
    count = len(graph.initializer) - len(kept)
    for field, values in ((graph.node, nodes), (graph.initializer, kept)):
        del field[:]
        field.extend(values)
    return Rewritten(count, tuple(declined))


def _fits(node: onnx.NodeProto, table: onnx.TensorProto, at_least: int) -> bool:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    large = len(table.dims) == 2 and table.dims[0] * table.dims[1] >= at_least
    return large and table.data_type == TensorProto.FLOAT and axis in (0, -2)


def _pack(graph: onnx.GraphProto, table: onnx.TensorProto) -> tuple[str, str]:
    values = numpy_helper.to_array(table)
    scales = (np.abs(values).max(axis=1, keepdims=True) / LARGEST + TINY).astype(np.float32)
    integers = np.clip(np.round(values / scales), -LARGEST, LARGEST).astype(np.int8)
    names = (f"{table.name}/int8", f"{table.name}/row_scales")
    graph.initializer.extend(
        numpy_helper.from_array(array, name)
        for array, name in zip((integers, scales), names, strict=True)
    )
    return names


def _gather_rows(node: onnx.NodeProto, integers: str, scales: str) -> list[onnx.NodeProto]:
    name = node.name or node.output[0]
    ids = node.input[1]
    part = {key: f"{name}/{key}" for key in ("row", "row_float", "row_scale")}
    return [
        helper.make_node("Gather", [integers, ids], [part["row"]], name=name, axis=0),
        helper.make_node(
            "Cast", [part["row"]], [part["row_float"]], name=part["row_float"], to=TensorProto.FLOAT
        ),
        helper.make_node("Gather", [scales, ids], [part["row_scale"]], name=part["row_scale"], axis=0),
        helper.make_node(
            "Mul", [part["row_float"], part["row_scale"]], [node.output[0]], name=f"{name}/rescaled"
        ),
    ]
