"""What the graphs of a training bundle say of themselves, in either form, without the onnx package.

Field numbers are those of onnx/onnx.proto in github.com/onnx/onnx; they never change.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

from olive_build.errors import StepError
from olive_build.onnx_files.wire import DamagedFile, Message, signed
from olive_build.training.optimizer_check import Operator, OptimizerGraph

_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_NAME, _FLOAT, _INT = 1, 2, 3
_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW = 2, 4, 8, 9
_TENSOR_FLOAT = 1
Fields = dict[int, list[Any]]


def read_graph(path: Path) -> OptimizerGraph:
    """Return the outer graph of an .onnx or .ort file. Raises StepError for another file."""
    if path.suffix == ".ort":
        from olive_build.training.ort_graphs import read_ort_graph

        return read_ort_graph(path)
    try:
        with path.open("rb") as stream:
            model = _fields(Message(stream, 0, path.stat().st_size))
            graphs = [item for item in model[_GRAPH] if isinstance(item, Message)]
            if len(graphs) != 1:
                raise DamagedFile(f"it holds {len(graphs)} graphs")
            return _graph(_fields(graphs[0]))
    except (OSError, DamagedFile, AttributeError, struct.error) as error:
        raise StepError(
            f"{path.name} is no ONNX model, or is damaged", where=str(path), why=str(error)
        ) from error


def _graph(graph: Fields) -> OptimizerGraph:
    tensors = [_fields(item) for item in graph[_INITIALIZER]]
    numbers = {_text(item, _TENSOR_NAME): _number(item) for item in tensors}
    return OptimizerGraph(
        tuple(_text(_fields(item), _NAME) for item in graph[_INPUT]),
        tuple(_text(_fields(item), _NAME) for item in graph[_OUTPUT]),
        tuple(_node(_fields(item)) for item in graph[_NODE]),
        {name: value for name, value in numbers.items() if value is not None},
    )


def _node(node: Fields) -> Operator:
    attributes = [_fields(item) for item in node[_NODE_ATTRIBUTE]]
    return Operator(
        f"{_text(node, _NODE_DOMAIN)}.{_text(node, _NODE_TYPE)}",
        tuple(item.text() for item in node[_NODE_INPUT]),
        tuple(item.text() for item in node[_NODE_OUTPUT]),
        {_text(item, _NAME): _setting(item) for item in attributes},
    )


def _setting(attribute: Fields) -> Any:
    if attribute[_FLOAT]:
        return _float(attribute[_FLOAT][0])
    return signed(attribute[_INT][0]) if attribute[_INT] else None


def _number(tensor: Fields) -> float | None:
    """Return the value of a tensor of one fp32 number, None for any other."""
    stored = [*tensor[_TENSOR_RAW], *tensor[_TENSOR_FLOATS]]
    alone = len(stored) == 1 and isinstance(stored[0], Message)
    if not alone or tensor[_TENSOR_TYPE] != [_TENSOR_FLOAT] or stored[0].end - stored[0].start != 4:
        return None
    return _float(stored[0])


def _float(message: Message) -> float:
    (value,) = struct.unpack("<f", message.content())
    return float(value)


def _text(fields: Fields, number: int) -> str:
    return fields[number][-1].text() if fields[number] else ""


def _fields(message: Message) -> Fields:
    found: Fields = defaultdict(list)
    for number, value in message.fields():
        found[number].append(value)
    return found
