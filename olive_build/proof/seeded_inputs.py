"""Seeded inputs of a graph of any kind, by their names, types and axes. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

ZEROS = ("token_type_ids", "bbox")
MASK = "attention_mask"
OF_SAMPLES = "batch_size"
# Every vocabulary has so many tokens.
TOKENS = 16


def seeded_inputs(
    inputs: Sequence[Any], size: int, batch: int, *, padded: bool = True, kinds: int = 1
) -> dict[str, npt.NDArray[Any]]:
    """Return arrays for the inputs of a session; free axes but the batch's are `size` long.

    Where they are `padded`, a third of each second text's mask is zero. Of so many `kinds` are
    tokens of a text, and corners of its boxes.
    """
    import numpy as np

    random = np.random.default_rng(0)
    found: dict[str, npt.NDArray[Any]] = {}
    for value in inputs:
        shape = [_length(axis, size, batch) for axis in value.shape]
        if "int" not in value.type and "bool" not in value.type:
            numbers = random.standard_normal(shape)
            found[value.name] = numbers.astype("f2" if "16" in value.type else "f4")
            continue
        made = random.integers(1, TOKENS, shape) if "ids" in value.name else np.ones(shape)
        if value.name in ZEROS:
            made = random.integers(0, kinds, shape)
        if value.name == MASK and padded and len(shape) > 1:
            made[1::2, -max(1, shape[1] // 3) :] = 0
        found[value.name] = made.astype(np.bool_ if "bool" in value.type else np.int64)
    return found


def _length(axis: Any, size: int, batch: int) -> int:
    if isinstance(axis, int):
        return axis
    return batch if axis == OF_SAMPLES else size
