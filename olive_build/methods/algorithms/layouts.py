"""How weights are stored: each layout to a matrix of integers [inputs, outputs] and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from olive_build.methods.algorithms.gptq import Floats, Integers

Stored = npt.NDArray[np.generic]


def symmetric_int8(weight: Floats, axis: int | None) -> tuple[npt.NDArray[np.int8], Floats]:
    """Return int8 values round zero and their scale: one for each index of `axis`, or a single one.

    The scale has the weight's axes, of size 1 but for `axis`; where all is zero it is 1.
    """
    others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
    scale = np.abs(weight).max(axis=others, keepdims=True) / np.float32(127)
    scale = np.where(scale == 0, np.float32(1), scale).astype(np.float32)
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale


class Layout(Protocol):
    """One way to store a weight."""

    def read(self, stored: Stored) -> Integers:
        """Return the integers [inputs, outputs]."""

    def write(self, integers: Integers, like: Stored) -> Stored:
        """Return `integers` as they are stored, in the shape and type of `like`."""


@dataclass(frozen=True)
class Matrix:
    """A MatMul's weight [inputs, outputs], or a Gemm's with transB, [outputs, inputs]."""

    transposed: bool = False

    def read(self, stored: Stored) -> Integers:
        integers = stored.astype(np.int32)
        return integers.T if self.transposed else integers

    def write(self, integers: Integers, like: Stored) -> Stored:
        stored = integers.T if self.transposed else integers
        return np.ascontiguousarray(stored, like.dtype)


@dataclass(frozen=True)
class Filters:
    """A convolution's weight [outputs, channels, height, width]; inputs = the last three."""

    def read(self, stored: Stored) -> Integers:
        integers: Integers = stored.astype(np.int32).reshape(len(stored), -1).T
        return integers

    def write(self, integers: Integers, like: Stored) -> Stored:
        return np.ascontiguousarray(integers.T.reshape(like.shape), like.dtype)


@dataclass(frozen=True)
class Blocks:
    """MatMulNBits' weight: [outputs, blocks, bytes of a block], the low half of a byte first.

    docs/ContribOperators.md of microsoft/onnxruntime, com.microsoft.MatMulNBits. The last block
    of a row may be longer than what is left of the inputs.
    """

    bits: int
    inputs: int

    def read(self, stored: Stored) -> Integers:
        flat = unpack(stored, self.bits)
        return flat.reshape(len(stored), -1)[:, : self.inputs].T.astype(np.int32)

    def write(self, integers: Integers, like: Stored) -> Stored:
        values = unpack(like, self.bits).reshape(len(like), -1).copy()
        values[:, : self.inputs] = integers.T
        if self.bits == 4:
            values = pack_pairs(values)
        return np.ascontiguousarray(values.reshape(like.shape), np.uint8)


def unpack(stored: Stored, bits: int) -> npt.NDArray[np.uint8]:
    """Return the values of 4 or 8 bits along the last axis."""
    values = stored.astype(np.uint8)
    if bits == 8:
        return values
    parts = np.stack([values & 15, values >> 4], axis=-1)
    return parts.reshape(*values.shape[:-1], -1)


def pack_pairs(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return values of 4 bits, two in a byte along the last axis, the first in the low half."""
    packed: npt.NDArray[np.uint8] = values[..., 0::2] | np.left_shift(
        values[..., 1::2], np.uint8(4)
    )
    return packed


def block_grid(
    scales: Floats, zero_points: Stored | None, bits: int, outputs: int, blocks: int
) -> tuple[Floats, Floats]:
    """Return MatMulNBits' scale and zero, each [blocks, outputs].

    Zero points are packed like the weights, of the scales' type, or absent: the middle then.
    """
    scale = scales.astype(np.float32).reshape(outputs, blocks).T
    if zero_points is None:
        zero = np.full_like(scale, 1 << (bits - 1))
    elif zero_points.dtype == np.uint8:
        packed = unpack(zero_points.reshape(outputs, -1), bits)
        zero = packed[:, :blocks].T.astype(np.float32)
    else:
        zero = zero_points.astype(np.float32).reshape(outputs, blocks).T
    return np.ascontiguousarray(scale), np.ascontiguousarray(zero)
