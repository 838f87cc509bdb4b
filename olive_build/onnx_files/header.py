"""What an ONNX file says of itself, read field by field: no weights, no onnx package.

Field numbers are those of onnx/onnx.proto in github.com/onnx/onnx; they never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from olive_build.onnx_files.wire import DamagedFile, Message, signed

ONNX = "ai.onnx"
# onnx.TensorProto.DataType, as onnxruntime-common calls the types.
ELEMENT_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
_EXTERNAL = 1
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTION = 1, 7, 8, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_INPUT, _NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 1, 3, 5, 6
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 10, 11
_FUNCTION_NAME, _FUNCTION_NODE, _FUNCTION_DOMAIN = 1, 7, 10
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_PLACE = 1, 8, 13, 14


@dataclass(frozen=True)
class Value:
    """An input or output: its element type and, for each axis, a size, a name, or None."""

    name: str
    element: str
    shape: tuple[int | str | None, ...]

    def text(self) -> str:
        """Return the type and shape as a person reads them."""
        return f"{self.element} [{', '.join('?' if d is None else str(d) for d in self.shape)}]"


@dataclass(frozen=True)
class FileNode:
    """An operator in use: which of its inputs are given, and its attributes that are numbers."""

    domain: str
    name: str
    inputs: tuple[str, ...]
    numbers: Mapping[str, int]

    def has_input(self, index: int) -> bool:
        """Whether the optional input at this place is given."""
        return index < len(self.inputs) and bool(self.inputs[index])


@dataclass(frozen=True)
class ExternalTensor:
    """A tensor whose bytes lie in another file; a length of None goes to that file's end."""

    name: str
    location: str
    offset: int
    length: int | None


@dataclass
class OnnxFile:
    """A model: its format, interface, operators (subgraphs and functions too), external data.

    `stored` names the stored tensors of the outermost graph; `stored_values` counts the values of
    those, and of graphs inside.
    """

    ir: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    nodes: list[FileNode] = field(default_factory=list)
    external: list[ExternalTensor] = field(default_factory=list)
    functions: set[tuple[str, str]] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    stored_values: int = 0


def read_onnx(path: Path) -> OnnxFile:
    """Return what the file says of itself, reading a few bytes a tensor.

    Raises DamagedFile where it is no ONNX model or is cut off, OSError where it cannot be read.
    """
    model = OnnxFile()
    size = path.stat().st_size
    graphs = 0
    with path.open("rb") as stream:
        for number, value in Message(stream, 0, size).fields():
            if number == _MODEL_IR and isinstance(value, int):
                model.ir = value
            elif number == _MODEL_OPSET and isinstance(value, Message):
                domain, version = _opset(value)
                model.opsets[domain] = version
            elif number == _MODEL_GRAPH and isinstance(value, Message):
                graphs += 1
                _read_graph(value, model, outermost=True)
            elif number == _MODEL_FUNCTION and isinstance(value, Message):
                _read_function(value, model)
    if not graphs or not model.opsets:
        raise DamagedFile("there is no graph in it" if not graphs else "it names no opset")
    # Old files list their weights among the inputs.
    model.inputs = [value for value in model.inputs if value.name not in model.stored]
    return model


def _opset(message: Message) -> tuple[str, int]:
    domain, version = ONNX, 0
    for number, value in message.fields():
        if number == 1 and isinstance(value, Message):
            domain = value.text() or ONNX
        elif number == 2 and isinstance(value, int):
            version = value
    return domain, version


def _read_graph(graph: Message, model: OnnxFile, *, outermost: bool) -> None:
    for number, value in graph.fields():
        if not isinstance(value, Message):
            continue
        if number == _GRAPH_NODE:
            _read_node(value, model)
        elif number == _GRAPH_INITIALIZER:
            name, count = _read_tensor(value, model)
            model.stored_values += count
            if outermost:
                model.stored.add(name)
        elif number == _GRAPH_SPARSE:
            for _, inner in _messages(value):
                _read_tensor(inner, model)
        elif outermost and number == _GRAPH_INPUT:
            model.inputs.append(_value(value))
        elif outermost and number == _GRAPH_OUTPUT:
            model.outputs.append(_value(value))


def _read_function(function: Message, model: OnnxFile) -> None:
    name = domain = ""
    for number, value in _messages(function):
        if number == _FUNCTION_NAME:
            name = value.text()
        elif number == _FUNCTION_DOMAIN:
            domain = value.text()
        elif number == _FUNCTION_NODE:
            _read_node(value, model)
    model.functions.add((domain or ONNX, name))


def _read_node(node: Message, model: OnnxFile) -> None:
    name, domain = "", ""
    inputs: list[str] = []
    numbers: dict[str, int] = {}
    for number, value in _messages(node):
        if number == _NODE_INPUT:
            inputs.append(value.text())
        elif number == _NODE_TYPE:
            name = value.text()
        elif number == _NODE_DOMAIN:
            domain = value.text()
        elif number == _NODE_ATTRIBUTE:
            _read_attribute(value, model, numbers)
    model.nodes.append(FileNode(domain or ONNX, name, tuple(inputs), numbers))


def _read_attribute(attribute: Message, model: OnnxFile, numbers: dict[str, int]) -> None:
    name, number_in_it = "", None
    for number, value in attribute.fields():
        if number == _ATTRIBUTE_INT and isinstance(value, int):
            number_in_it = signed(value)
        elif not isinstance(value, Message):
            continue
        elif number == _ATTRIBUTE_NAME:
            name = value.text()
        elif number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            _read_tensor(value, model)
        elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            _read_graph(value, model, outermost=False)
    if number_in_it is not None:
        numbers[name] = number_in_it


def _read_tensor(tensor: Message, model: OnnxFile) -> tuple[str, int]:
    """Note where a tensor's bytes lie; return its name and how many values it has."""
    name, outside, count = "", False, 1
    entries: dict[str, str] = {}
    for number, value in tensor.fields():
        if number == _TENSOR_DIMS:
            for size in (value,) if isinstance(value, int) else value.numbers():
                count *= signed(size)
        elif number == _TENSOR_PLACE:
            outside = value == _EXTERNAL
        elif number == _TENSOR_NAME and isinstance(value, Message):
            name = value.text()
        elif number == _TENSOR_EXTERNAL and isinstance(value, Message):
            texts = {index: inner.text() for index, inner in _messages(value)}
            entries[texts.get(1, "")] = texts.get(2, "")
    if outside:
        model.external.append(
            ExternalTensor(
                name,
                entries.get("location", ""),
                _whole(entries.get("offset", "0"), name),
                _whole(entries["length"], name) if "length" in entries else None,
            )
        )
    return name, count


def _whole(text: str, tensor: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise DamagedFile(f"the external data of {tensor} begins or ends at {text!r}") from None


def _value(message: Message) -> Value:
    name, element = "", ""
    shape: tuple[int | str | None, ...] = ()
    for number, value in _messages(message):
        if number == 1:
            name = value.text()
        elif number == 2:
            for _, tensor in _messages(value):
                element, shape = _tensor_type(tensor)
    return Value(name, element, shape)


def _tensor_type(message: Message) -> tuple[str, tuple[int | str | None, ...]]:
    element = ""
    axes: list[int | str | None] = []
    for number, value in message.fields():
        if number == 1 and isinstance(value, int):
            element = ELEMENT_TYPES.get(value, f"element type {value}")
        elif number == 2 and isinstance(value, Message):
            axes = [_axis(axis) for _, axis in _messages(value)]
    return element, tuple(axes)


def _axis(message: Message) -> int | str | None:
    for number, value in message.fields():
        if number == 1 and isinstance(value, int):
            return signed(value)
        if number == 2 and isinstance(value, Message):
            return value.text() or None
    return None


def _messages(message: Message) -> Iterator[tuple[int, Message]]:
    for number, value in message.fields():
        if isinstance(value, Message):
            yield number, value
