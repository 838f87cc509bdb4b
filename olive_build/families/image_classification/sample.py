"""Images for timing and probing: seeded bytes of the model's size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.families.image_classification.spec import ImageClassificationFacts, inspect


def images_of(facts: ImageClassificationFacts, count: int) -> npt.NDArray[np.uint8]:
    """Return seeded images uint8 [count, height, width, channels]."""
    shape = (count, facts.height, facts.width, facts.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def text_of(folder: Path, size: int) -> str:
    """Return the sample's text: height and width of what the network takes, as `32 x 48`.

    Images of that size are timed: what resizing larger ones costs depends on how large they are.
    """
    facts = inspect(folder)
    return f"{facts.height} x {facts.width}"


def feeds(inputs: Sequence[Any], text: str, size: int, batch: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a session with these `inputs` is given: `size` images `batch` times over.

    Axes of an image's size that are free are those of `text`.
    """
    random = np.random.default_rng(0)
    free = dict(zip(("height", "width"), map(int, text.split(" x ")), strict=True)) if text else {}
    found: dict[str, npt.NDArray[Any]] = {}
    for value in inputs:
        first = value.shape[0]
        axes = (free.get(axis, axis) for axis in value.shape[1:])
        shape = (first if isinstance(first, int) else size * batch, *axes)
        if value.type == "tensor(uint8)":
            found[value.name] = random.integers(0, 256, shape, dtype=np.uint8)
        else:
            half = value.type == "tensor(float16)"
            found[value.name] = random.standard_normal(shape).astype("f2" if half else "f4")
    return found
