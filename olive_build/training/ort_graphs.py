"""Graphs of the ORT form, read without a runtime by the bindings that every onnxruntime carries.

onnxruntime/core/flatbuffers/schema/ort.fbs has the tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from olive_build.errors import StepError, first_line
from olive_build.training.checkpoint_file import DAMAGE, bindings, items
from olive_build.training.optimizer_check import Operator, OptimizerGraph

IDENTIFIER = b"ORTM"
FLOAT, INT = 1, 2  # of AttributeType


def read_ort_graph(path: Path) -> OptimizerGraph:
    """Return the outer graph of an .ort file. Raises StepError for a file that is none."""
    try:
        data = np.memmap(path, np.uint8, "r")
        if bytes(data[4:8]) != IDENTIFIER:
            raise ValueError("it does not begin as a model of the ORT form does")
        graph = bindings("InferenceSession").InferenceSession.GetRootAs(data, 0).Model().Graph()
        return _read(graph, data.size)
    except (OSError, *DAMAGE) as error:
        raise StepError(
            f"{path.name} is no model of the ORT form, or is damaged",
            where=str(path),
            why=first_line(error),
        ) from error


def _read(graph: Any, size: int) -> OptimizerGraph:
    constants = {}
    for tensor in items(graph.Initializers, graph.InitializersLength(), size):
        raw = tensor.RawDataAsNumpy()
        if tensor.DataType() == FLOAT and isinstance(raw, np.ndarray) and raw.size == 4:
            constants[tensor.Name().decode()] = float(raw.view("<f4")[0])
    nodes = items(graph.Nodes, graph.NodesLength(), size)
    return OptimizerGraph(
        _names(graph.Inputs, graph.InputsLength(), size),
        _names(graph.Outputs, graph.OutputsLength(), size),
        tuple(_node(node, size) for node in nodes),
        constants,
    )


def _node(node: Any, size: int) -> Operator:
    settings = {}
    for item in items(node.Attributes, node.AttributesLength(), size):
        value = {FLOAT: item.F, INT: item.I}.get(item.Type(), lambda: None)()
        settings[item.Name().decode()] = value
    return Operator(
        f"{node.Domain().decode()}.{node.OpType().decode()}",
        _names(node.Inputs, node.InputsLength(), size),
        _names(node.Outputs, node.OutputsLength(), size),
        settings,
    )


def _names(item: Any, count: int, size: int) -> tuple[str, ...]:
    return tuple(name.decode() for name in items(item, count, size))
