"""A model of any size: read, written, and given to the runtime, its weights beside it if large.

A message of protobuf ends at 2 GiB. The weights of a model that comes near that are written into
files beside its graph, of less than 2 GiB each, since a browser holds each in one array. What is
smaller is one file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import onnx
from onnx import TensorProto, numpy_helper

from olive_build.onnx_files.data_files import data_name, remove_model
from olive_build.untrusted import Unreadable, open_plain, plain_below

# Stored values of so many bytes lie beside their graph; the graph itself takes of what is left.
EXTERNAL_DATA_BYTES = 1_800_000_000
# No file of weights grows beyond this, unless by one tensor that is larger.
LARGEST_DATA_FILE = 1_900_000_000
# Smaller tensors stay in the graph: shapes, axes and scalars, which shape inference reads.
SMALLEST_OUTSIDE = 1024
# A page, so that a runtime can map a tensor in place.
ALIGNMENT = 4096

# Of the element types that have not 8 bits; texts never lie outside.
_BITS = {
    "STRING": 0,
    "COMPLEX128": 128,
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("INT2", "UINT2"), 2),
}
Keep = Callable[[TensorProto, TensorProto], None]


def read(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Return a model with its weights, or with those alone that are in the graph's own file.

    Raises whatever onnx says of a damaged file, and Unreadable as `fill` does.
    """
    model = onnx.load(str(path), load_external_data=False)
    if weights:
        fill(model, path.parent)
    return model


def fill(model: onnx.ModelProto, folder: Path) -> None:
    """Read the weights that a graph from this folder has in other files.

    Raises Unreadable where one of these is no plain file below the folder, or has other bytes than
    the tensor needs.
    """
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.raw_data = _content(tensor, folder)
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, its weights beside it where it is large. The same model gives the same bytes.

    `model` stays as it is. What lies beside `path` of an earlier one is removed.
    """
    remove_model(path)
    if is_large(model):
        with _DataWriter(path) as data:
            model = _copied(model, data.keep)
    onnx.save(model, str(path))


def is_large(model: onnx.ModelProto) -> bool:
    """Whether a model's weights go beside its graph."""
    return stored_bytes(model) >= EXTERNAL_DATA_BYTES


def stored_bytes(model: onnx.ModelProto) -> int:
    """Return how many bytes a model's stored values have, wherever they lie."""
    return sum(_bytes_of(tensor) for tensor in _tensors(model))


@contextmanager
def openable(model: onnx.ModelProto) -> Iterator[bytes | str]:
    """Yield what onnxruntime opens: a model's bytes, or of a large one the path of a copy.

    The copy is in a temporary folder, which is there until the context is left; a session that is
    open by then needs it no more.
    """
    if not is_large(model):
        yield model.SerializeToString()
        return
    prefix = "olive-build-graph-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "model.onnx"
        write(model, path)
        yield str(path)


def by_graph_alone(
    model: onnx.ModelProto, change: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> onnx.ModelProto:
    """Return what `change` makes of a model; a large one it is given without the weights.

    They are put back. `change` must leave these tensors where they are: shape inference does.
    """
    if not is_large(model):
        return change(model)
    left_out: list[TensorProto] = []

    def keep(tensor: TensorProto, new: TensorProto) -> None:
        if _bytes_of(tensor) < SMALLEST_OUTSIDE:
            new.CopyFrom(tensor)
        else:
            _refer(tensor, new, str(len(left_out)), 0, 0)
            left_out.append(tensor)

    changed = change(_copied(model, keep))
    for tensor in _tensors(changed):
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.CopyFrom(left_out[int(tensor.external_data[0].value)])
    return changed


def renamed(path: Path, name: str) -> bytes:
    """Return the graph's file as it must be under another name, its weights named after it."""
    model = read(path, weights=False)
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name + entry.value.removeprefix(path.name)
    content: bytes = model.SerializeToString()
    return content


class _DataWriter:
    """The files of weights beside a graph, written tensor by tensor."""

    def __init__(self, graph: Path) -> None:
        self._graph = graph
        self._number = 0
        self._file = graph.with_name(data_name(graph.name, 0)).open("wb")

    def __enter__(self) -> _DataWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def keep(self, tensor: TensorProto, new: TensorProto) -> None:
        """Write a tensor's values, and make `new` refer to them; a small one is copied."""
        if _bytes_of(tensor) < SMALLEST_OUTSIDE:
            new.CopyFrom(tensor)
            return
        content = _raw(tensor)
        start = -(-self._file.tell() // ALIGNMENT) * ALIGNMENT
        if start and start + len(content) > LARGEST_DATA_FILE:
            start = self._next_file()
        self._file.write(bytes(start - self._file.tell()))
        self._file.write(content)
        _refer(tensor, new, data_name(self._graph.name, self._number), start, len(content))

    def _next_file(self) -> int:
        self._file.close()
        self._number += 1
        self._file = self._graph.with_name(data_name(self._graph.name, self._number)).open("wb")
        return 0


def _refer(tensor: TensorProto, new: TensorProto, location: str, offset: int, length: int) -> None:
    new.name, new.data_type = tensor.name, tensor.data_type
    new.dims.extend(tensor.dims)
    new.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        new.external_data.add(key=key, value=value)


def _content(tensor: TensorProto, folder: Path) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location, needed = entries.get("location", ""), _bytes_of(tensor)
    offset, length = int(entries.get("offset", 0)), int(entries.get("length", needed))
    with open_plain(plain_below(folder, location)) as file:
        if offset < 0 or length != needed or file.seek(0, 2) < offset + length:
            raise Unreadable(f"{location} does not hold the {needed} bytes of {tensor.name}")
        file.seek(offset)
        return _exactly(file, length)


def _exactly(file: BinaryIO, length: int) -> bytes:
    content = file.read(length)
    if len(content) != length:
        raise Unreadable("a file of weights became shorter while it was read")
    return content


def _raw(tensor: TensorProto) -> bytes:
    if tensor.HasField("raw_data"):
        content: bytes = tensor.raw_data
        return content
    return numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data


def _bytes_of(tensor: TensorProto) -> int:
    bits = _BITS.get(TensorProto.DataType.Name(tensor.data_type), 8)
    count: int = prod(tensor.dims)
    return -(-count * bits // 8)


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Yield every stored tensor: of the graph, of graphs inside, of attributes and functions."""
    yield from _tensors_of(model.graph)
    for function in model.functions:
        yield from _tensors_in(function.node)


def _tensors_of(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_in(graph.node)


def _tensors_in(nodes: Iterable[onnx.NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors_of(attribute.g)
            for graph in attribute.graphs:
                yield from _tensors_of(graph)


def _copied(model: onnx.ModelProto, keep: Keep) -> onnx.ModelProto:
    """Return a copy whose graphs have of their tensors what `keep(tensor, new one)` puts there.

    Nothing is serialized, and no weights are held twice.
    """
    new = onnx.ModelProto()
    _copy_fields(model, new, {"graph"})
    _copy_graph(model.graph, new.graph, keep)
    return new


def _copy_graph(graph: onnx.GraphProto, new: onnx.GraphProto, keep: Keep) -> None:
    _copy_fields(graph, new, {"initializer", "node"})
    for tensor in graph.initializer:
        keep(tensor, new.initializer.add())
    for node in graph.node:
        copy = new.node.add()
        _copy_fields(node, copy, {"attribute"})
        for attribute in node.attribute:
            added = copy.attribute.add()
            _copy_fields(attribute, added, {"g", "graphs"})
            if attribute.HasField("g"):
                _copy_graph(attribute.g, added.g, keep)
            for inner in attribute.graphs:
                _copy_graph(inner, added.graphs.add(), keep)


def _copy_fields(message: Any, new: Any, without: set[str]) -> None:
    for field, value in message.ListFields():
        if field.name in without:
            continue
        if field.is_repeated:
            getattr(new, field.name).extend(value)
        elif field.message_type:
            getattr(new, field.name).CopyFrom(value)
        else:
            setattr(new, field.name, value)
