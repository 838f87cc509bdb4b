"""What int8 does to numbers, in numpy: the grids of onnxruntime's kernels, to compare choices.

Grids: DynamicQuantizeLinear of ONNX (activations), per-channel symmetric int8 (weights), and
the blocks of com.microsoft MatMulNBits with accuracy_level 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
TINY = 1e-12


def rounded_rows(rows: Floats, granularity: str, block_size: int | None = None) -> Floats:
    """Return activations [tokens, channels] as int8 keeps them.

    `granularity` is per-tensor (one asymmetric range for all), per-token (each row has its own
    symmetric scale first, then one range for all), or block (symmetric, `block_size` channels).
    """
    if granularity == "block":
        assert block_size is not None
        return _blocks(rows, block_size)
    scale = np.abs(rows).max(axis=1, keepdims=True) + TINY if granularity == "per-token" else 1.0
    scaled = rows / scale
    low, high = min(float(scaled.min()), 0.0), max(float(scaled.max()), 0.0)
    step = max((high - low) / 255, TINY)
    zero = np.round(-low / step)
    result: Floats = (np.clip(np.round(scaled / step) + zero, 0, 255) - zero) * step * scale
    return result


def rounded_weight(weight: Floats, block_size: int | None = None) -> Floats:
    """Return a weight [channels, outputs] in int8, a symmetric scale per output, or per block."""
    if block_size is not None:
        return np.ascontiguousarray(_blocks(weight.T, block_size).T)
    step = np.abs(weight).max(axis=0, keepdims=True) / 127 + TINY
    result: Floats = np.round(weight / step) * step
    return result


def _blocks(rows: Floats, block_size: int) -> Floats:
    count, width = rows.shape
    blocks = -(-width // block_size)
    padded = np.zeros((count, blocks * block_size), rows.dtype)
    padded[:, :width] = rows
    shaped = padded.reshape(count, blocks, block_size)
    step = np.abs(shaped).max(axis=2, keepdims=True) / 127 + TINY
    result: Floats = (np.round(shaped / step) * step).reshape(count, -1)[:, :width]
    return result
