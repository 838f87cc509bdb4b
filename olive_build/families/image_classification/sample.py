"""Seeded pictures: those that are timed, and those that each proof adds to its data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.families.image_classification.preparation import Preparation
from olive_build.families.image_classification.spec import ImageClassificationFacts, inspect
from olive_build.proof.pictures import Picture


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


SEED = 12
PATCH = 9


def own_pictures(prepared: Preparation) -> Iterator[Picture]:
    """Yield pictures uint8 [height, width, channels], of the network's size where it must be.

    Otherwise they are also wider, taller, tiny, larger than what the network takes and of odd
    numbers of pixels. One of three is noise, one has edges, one is smooth; the first is grey.
    """
    random = np.random.default_rng(SEED)
    channels = len(prepared.mean)
    for index, (height, width) in enumerate(_sizes(prepared)):
        kind = index % 3
        grain = (1, PATCH, max(height, width))[kind]
        shape = (-(-height // grain) + 1, -(-width // grain) + 1, channels)
        coarse = random.integers(0, 256, shape).astype(np.float64)
        found = coarse.repeat(grain, axis=0).repeat(grain, axis=1)
        if kind == 2:
            rows, columns = (np.linspace(0, 1, size)[:, None] for size in (height, width))
            top = coarse[0, 0] + (coarse[0, 1] - coarse[0, 0]) * columns[:, :, None].swapaxes(0, 1)
            found = top + (coarse[1, 0] - coarse[0, 0]) * rows[:, :, None] / 2
        values = np.clip(found[:height, :width], 0, 255).astype(np.uint8)
        yield values[..., :1].repeat(channels, axis=2) if index == 0 else values


def _sizes(prepared: Preparation) -> list[tuple[int, int]]:
    height, width = prepared.height, prepared.width
    if not prepared.steps:
        return [(height, width)] * 4
    return [
        (height, width),
        (height + 1, 2 * width - 1),
        (2 * height + 3, width + 2),
        (3, 5),
        (2 * height + 1, 3 * width // 2),
        (height // 2 + 1, 2 * width + 1),
        (7, 3),
        (height - 1, width + 1) if height > 1 else (1, 2),
    ]
