"""Images for timing and probing: seeded bytes of the model's size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.families.image_classification.spec import ImageClassificationFacts


def images_of(facts: ImageClassificationFacts, count: int) -> npt.NDArray[np.uint8]:
    """Return seeded images uint8 [count, height, width, channels]."""
    shape = (count, facts.height, facts.width, facts.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def text_of(folder: Path, size: int) -> str:
    """Return the sample's text: none, since images of a size are all that is timed."""
    return ""


def feeds(inputs: Sequence[Any], text: str, size: int, batch: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a session with these `inputs` is given: `size` images `batch` times over."""
    random = np.random.default_rng(0)
    found: dict[str, npt.NDArray[Any]] = {}
    for value in inputs:
        first = value.shape[0]
        shape = (first if isinstance(first, int) else size * batch, *value.shape[1:])
        if value.type == "tensor(uint8)":
            found[value.name] = random.integers(0, 256, shape, dtype=np.uint8)
        else:
            half = value.type == "tensor(float16)"
            found[value.name] = random.standard_normal(shape).astype("f2" if half else "f4")
    return found
