"""Tables for lookup and product, in blocks of 4 or 8 bits that both read as they are stored.

MatMulNBits wants its weight [rows, blocks, bytes of a block], GatherBlockQuantized the same bytes
as [rows, bytes of a row]; scales and zero points go by rows in both.

Operators: com.microsoft MatMulNBits and GatherBlockQuantized, docs/ContribOperators.md of
microsoft/onnxruntime. That both may read one tensor was tried in its CPU kernels of 1.30 and 1.31,
in Python, in Node and in WebAssembly: rows are exact, products within rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from olive_build.methods.algorithms.gptq import Floats
from olive_build.methods.algorithms.layouts import pack_pairs
from olive_build.methods.algorithms.tables import DOMAIN, find_tables, import_contrib, looks_up
from olive_build.rewrites.rule import Rewritten

# So many rows are quantized at a time, which keeps what is held beside the table small.
ROWS_AT_ONCE = 8192
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Blocks:
    """How a table is stored. Symmetric blocks have no zero points: they round the middle."""

    bits: int
    size: int
    symmetric: bool


def quantize_tied_tables(
    model: onnx.ModelProto, blocks: Blocks, accuracy_level: int, excluded: set[str]
) -> Rewritten:
    """Store every large table that both Gather and Gemm nodes read in blocks, in place.

    Tables that are looked up alone are left: other quantizers know those. The count is of readers;
    says why a table stays.
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    found, declined = find_tables(model, excluded)
    count = 0
    for name, readers in found.items():
        tensor = tensors[name]
        if all(looks_up(node, name) for node in readers):
            continue
        if len(tensor.dims) != 2 or tensor.dims[1] % blocks.size:
            declined.append(f"{name}: its rows are no whole number of blocks of {blocks.size}")
            continue
        _store(model, tensor, readers, blocks, accuracy_level)
        count += len(readers)
    return Rewritten(count, tuple(declined))


def rows_as_blocks(table: Floats, blocks: Blocks) -> tuple[Bytes, Floats, Bytes | None]:
    """Return integers [rows, blocks, size], scales [rows, blocks] and zero points, or None.

    Nearest rounding: a block's range, with zero in it, is spread over all integers; a symmetric
    one's reaches as far to both sides as its largest value.
    """
    parts = table.reshape(len(table), -1, blocks.size)
    most = (1 << blocks.bits) - 1
    if blocks.symmetric:
        middle = 1 << (blocks.bits - 1)
        largest = np.take_along_axis(parts, np.abs(parts).argmax(-1, keepdims=True), -1)
        # The largest value becomes the lowest integer, which has no counterpart above zero.
        scale = largest[..., 0] / np.float32(-middle)
        zero = np.full(scale.shape, middle, np.uint8)
    else:
        lowest, highest = np.minimum(parts.min(-1), 0), np.maximum(parts.max(-1), 0)
        scale = (highest - lowest) / np.float32(most)
        safe = np.where(scale == 0, np.float32(1), scale)
        zero = np.clip(np.rint(-lowest / safe), 0, most).astype(np.uint8)
    scale = np.where(scale == 0, np.float32(1), scale).astype(np.float32)
    integers = np.clip(np.rint(parts / scale[..., None]) + zero[..., None], 0, most)
    return integers.astype(np.uint8), scale, None if blocks.symmetric else zero


def _store(
    model: onnx.ModelProto,
    tensor: onnx.TensorProto,
    readers: list[onnx.NodeProto],
    blocks: Blocks,
    accuracy_level: int,
) -> None:
    graph, name = model.graph, tensor.name
    rows, size = tensor.dims
    packed, scales, zeros = _packed(numpy_helper.to_array(tensor), blocks)
    stored: dict[str, npt.NDArray[Any]] = {
        f"{name}_q{blocks.bits}": packed,
        f"{name}_scales": scales,
    }
    if zeros is not None:
        stored[f"{name}_zero_points"] = zeros
    weight, *grid = stored
    shape = np.array([rows, packed.size // rows], np.int64)
    graph.initializer.remove(tensor)
    graph.initializer.extend(
        numpy_helper.from_array(value, key)
        for key, value in {**stored, f"{name}_row_shape": shape}.items()
    )
    import_contrib(model)
    in_rows = f"{name}_rows"
    form = {"bits": blocks.bits, "block_size": blocks.size}
    lookup: dict[str, Any] = {"gather_axis": 0, "quantize_axis": 1, **form}
    product: dict[str, Any] = {"K": size, "N": rows, "accuracy_level": accuracy_level, **form}
    for node in readers:
        if looks_up(node, name):
            new = helper.make_node(
                "GatherBlockQuantized", [in_rows, node.input[1], *grid], node.output, **lookup
            )
        else:
            new = helper.make_node(
                "MatMulNBits", [node.input[0], weight, *grid], node.output, **product
            )
        new.domain, new.name = DOMAIN, node.name
        node.CopyFrom(new)
    turned = helper.make_node(
        "Reshape", [weight, f"{name}_row_shape"], [in_rows], name=f"{name}/rows"
    )
    graph.node.insert(0, turned)


def _packed(table: Floats, blocks: Blocks) -> tuple[Bytes, Floats, Bytes | None]:
    """Return MatMulNBits' three tensors for a table [rows, size]."""
    parts = [
        rows_as_blocks(table[first : first + ROWS_AT_ONCE], blocks)
        for first in range(0, len(table), ROWS_AT_ONCE)
    ]
    integers = np.concatenate([_halves(part[0], blocks.bits) for part in parts])
    scales = np.concatenate([part[1] for part in parts])
    zeros = [part[2] for part in parts if part[2] is not None]
    if not zeros:
        return integers, scales, None
    return integers, scales, _halves(np.concatenate(zeros), blocks.bits)


def _halves(values: Bytes, bits: int) -> Bytes:
    """Return values of `bits` packed along the last axis, which an odd number of fills with 0."""
    if bits == 8:
        return values
    odd = values.shape[-1] % 2
    return pack_pairs(np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, odd)]))
