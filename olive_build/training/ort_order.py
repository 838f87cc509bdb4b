"""ORT-format files in one order: onnxruntime 1.19 writes part of each in another at every run.

What differs is the table of kernels' type strings, which it reads from a hash map that is seeded
anew in each process. The model itself is the same, byte for byte.
"""

from __future__ import annotations

import struct
from importlib import import_module
from pathlib import Path
from typing import Any

from olive_build.training.checkpoint_file import bindings

IDENTIFIER = b"ORTM"
# Alignment counts from the end of a flatbuffer, where the model stays; its largest is 8.
ALIGNMENT = 16


def put_in_order(path: Path) -> None:
    """Write the file anew: its model as it is, its kernels' type strings sorted by name."""
    flatbuffers: Any = import_module("flatbuffers")
    fields = bindings("InferenceSession")
    data = path.read_bytes()
    session = fields.InferenceSession.GetRootAs(data, 0)
    position = session.Model()._tab.Pos
    # A table's layout lies before it or is shared with one behind it: `start` is before both.
    layout = position - struct.unpack_from("<i", data, position)[0]
    start = min(position, layout)
    builder = flatbuffers.Builder(2 * len(data))
    builder.minalign = ALIGNMENT
    builder.head = len(builder.Bytes) - (len(data) - start)
    builder.Bytes[builder.head :] = data[start:]
    version = builder.CreateString(session.OrtVersion())
    resolver = _resolver(builder, session.KernelTypeStrResolver())
    fields.Start(builder)
    fields.AddOrtVersion(builder, version)
    fields.AddModel(builder, len(data) - position)
    fields.AddKernelTypeStrResolver(builder, resolver)
    builder.Finish(fields.End(builder), file_identifier=IDENTIFIER)
    path.write_bytes(builder.Output())


def _resolver(builder: Any, source: Any) -> int:
    """Write operators, and the type strings of each, in the order of their names."""
    fields = bindings("KernelTypeStrResolver")
    entry = bindings("OpIdKernelTypeStrArgsEntry")
    operators = sorted(
        (source.OpKernelTypeStrArgs(i) for i in range(source.OpKernelTypeStrArgsLength())),
        key=lambda found: bytes(found.OpId()),
    )
    written = []
    for operator in operators:
        strings = sorted(
            (operator.KernelTypeStrArgs(i) for i in range(operator.KernelTypeStrArgsLength())),
            key=lambda found: bytes(found.KernelTypeStr()),
        )
        inner = _vector(builder, [_type_string(builder, string) for string in strings])
        name = builder.CreateSharedString(operator.OpId().decode())
        entry.Start(builder)
        entry.AddOpId(builder, name)
        entry.AddKernelTypeStrArgs(builder, inner)
        written.append(entry.End(builder))
    entries = _vector(builder, written)
    fields.Start(builder)
    fields.AddOpKernelTypeStrArgs(builder, entries)
    end: int = fields.End(builder)
    return end


def _type_string(builder: Any, source: Any) -> int:
    fields = bindings("ArgTypeAndIndex")
    entry = bindings("KernelTypeStrArgsEntry")
    written = []
    for number in range(source.ArgsLength()):
        argument = source.Args(number)
        fields.Start(builder)
        fields.AddIndex(builder, argument.Index())
        fields.AddArgType(builder, argument.ArgType())
        written.append(fields.End(builder))
    arguments = _vector(builder, written)
    name = builder.CreateSharedString(source.KernelTypeStr().decode())
    entry.Start(builder)
    entry.AddKernelTypeStr(builder, name)
    entry.AddArgs(builder, arguments)
    end: int = entry.End(builder)
    return end


def _vector(builder: Any, offsets: list[int]) -> int:
    """Write a vector of tables; flatbuffers are built from their end."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    end: int = builder.EndVector()
    return end
