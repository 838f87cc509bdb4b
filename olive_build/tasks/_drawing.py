"""Pictures that are drawn by a seed: a sky, a ground, and shapes with edges, shades and grain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError, first_line
from olive_build.proof.pictures import Picture, Pictures
from olive_build.untrusted import followed, read_npz

SHAPES = 6
GRAIN = 6.0


def drawn(seed: int, sizes: Iterable[tuple[int, int]]) -> list[Picture]:
    """Return pictures uint8 [height, width, 3] of these sizes; the same seed gives the same."""
    random = np.random.default_rng(seed)
    return [_picture(random, *size) for size in sizes]


def _picture(random: np.random.Generator, height: int, width: int) -> Picture:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    colours = random.uniform(30, 225, (SHAPES + 3, 3))
    slope = (rows / height)[..., None]
    found = colours[0] * (1 - slope) + colours[1] * slope
    horizon = height * random.uniform(0.45, 0.8) + 3 * np.sin(columns / width * 9)
    found = np.where((rows > horizon)[..., None], colours[2] * (0.6 + 0.4 * slope), found)
    for index in range(SHAPES):
        inside, shade = _shape(random, index, rows, columns)
        found = np.where(inside[..., None], colours[index + 3] * shade[..., None], found)
    found += random.normal(0, GRAIN, found.shape)
    return np.clip(found, 0, 255).astype(np.uint8)


def _shape(
    random: np.random.Generator, kind: int, rows: npt.NDArray[Any], columns: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return where a rectangle, an ellipse or a triangle is, and how light it is there."""
    height, width = rows.shape
    middle = random.uniform(0.15, 0.85, 2) * (height, width)
    half = random.uniform(0.06, 0.28, 2) * (height, width) + 2
    down, right = (rows - middle[0]) / half[0], (columns - middle[1]) / half[1]
    inside = (
        (np.maximum(np.abs(down), np.abs(right)) < 1),
        (down**2 + right**2 < 1),
        (down < 1) & (np.abs(right) < (down + 1) / 2),
    )[kind % 3]
    return inside, 0.75 + 0.25 * np.clip(right - down, -1, 1)


def as_images(pictures: Iterable[Picture]) -> list[Any]:
    """Return pictures as Pillow has them."""
    from PIL import Image

    return [Image.fromarray(np.broadcast_to(p, (*p.shape[:2], 3)).copy()) for p in pictures]


def read_pictures(path: Path) -> Sequence[Any]:
    """Return the pictures of a file of `images`. Raises StepError for bad data."""
    try:
        return as_images(Pictures.restored(read_npz(followed(path))))
    except (OSError, ValueError, KeyError) as error:
        raise StepError(
            "the file holds no pictures",
            where=str(path),
            why=first_line(error),
            hint="save `images` uint8 [pictures, height, width, 3] with numpy.savez_compressed, or "
            "`images` [bytes of all] with `shapes` [pictures, 3]",
        ) from error
