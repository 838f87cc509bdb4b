"""The IR version and the opsets of a model file, read without its weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import onnx

from olive_build.errors import StepError

# What onnxruntime 1.19 reads: docs/Versioning.md of microsoft/onnxruntime.
NEWEST_IR, NEWEST_OPSET = 10, 21
# ModelProto's graph, by far its largest field: onnx/onnx.proto.
GRAPH_FIELD = 7
VARINT, LENGTH_DELIMITED = 0, 2


def check_versions(path: Path) -> None:
    """Raise StepError when the file is newer than what a device's onnxruntime 1.19 reads."""
    model = read_header(path)
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if model.ir_version > NEWEST_IR or opset > NEWEST_OPSET:
        raise StepError(
            f"{path.name} has IR version {model.ir_version} and opset {opset}",
            why=f"onnxruntime-training 1.19 reads IR up to {NEWEST_IR}, opset up to {NEWEST_OPSET}",
            hint="export with an opset of at most 20: `opset: 18`",
        )


def read_header(path: Path) -> onnx.ModelProto:
    """Return the model without its graph, skipping over it in the file.

    The encoding is protobuf's: https://protobuf.dev/programming-guides/encoding/.
    """
    kept = bytearray()
    with path.open("rb") as stream:
        while (tag := _varint(stream)) is not None:
            wire, number = tag & 7, tag >> 3
            if wire == VARINT:
                kept += _encoded(tag) + _encoded(_varint(stream) or 0)
                continue
            if wire != LENGTH_DELIMITED:
                raise StepError(f"{path.name} is no ONNX model", why=f"it has wire type {wire}")
            length = _varint(stream) or 0
            if number == GRAPH_FIELD:
                stream.seek(length, os.SEEK_CUR)
            else:
                kept += _encoded(tag) + _encoded(length) + stream.read(length)
    model = onnx.ModelProto()
    model.ParseFromString(bytes(kept))
    return model


def _varint(stream: BinaryIO) -> int | None:
    value = shift = 0
    while byte := stream.read(1):
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            return value
        shift += 7
    return None


def _encoded(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
