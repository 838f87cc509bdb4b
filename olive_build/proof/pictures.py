"""Pictures of any size as they are stored, one after the other. numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
IMAGES, SHAPES = "images", "shapes"
AXES = 3


@dataclass(frozen=True)
class Pictures:
    """Pictures in the form of a file: `values` [bytes of all], `shapes` int64 [pictures, 3].

    A shape is height, width and channels. Raises ValueError, naming the array, where the two do not
    fit together.
    """

    values: Picture
    shapes: Rows

    def __post_init__(self) -> None:
        if self.values.dtype != np.uint8:
            raise ValueError(f"the images are {self.values.dtype}; bytes (uint8) are expected")
        whole = np.issubdtype(self.shapes.dtype, np.integer)
        if not whole or self.shapes.ndim != 2 or self.shapes.shape[1] != AXES:
            raise ValueError("`shapes` are whole numbers [images, 3]: height, width, channels")
        if len(self.shapes) == 0:
            raise ValueError("it holds no image")
        if (self.shapes < 1).any():
            raise ValueError("`shapes` has a side without a pixel")
        total = int(self.shapes.prod(axis=1).sum())
        if self.values.shape != (total,):
            there = list(self.values.shape)
            raise ValueError(f"`shapes` add up to {total} bytes, and `images` has {there}")

    def __len__(self) -> int:
        return len(self.shapes)

    def __iter__(self) -> Iterator[Picture]:
        ends = np.cumsum(self.shapes.prod(axis=1))
        for end, shape in zip(ends, self.shapes, strict=True):
            yield self.values[end - shape.prod() : end].reshape(shape)

    def batch(self, rows: Rows) -> Picture:
        """Return pictures of one shape, [rows, height, width, channels]."""
        ends = np.cumsum(self.shapes.prod(axis=1))
        shape = self.shapes[rows[0]]
        found = (self.values[ends[row] - shape.prod() : ends[row]] for row in rows)
        return np.stack([values.reshape(shape) for values in found])

    def alike(self, rows: Rows) -> Iterator[Rows]:
        """Yield those of `rows` that have one shape, in their order, shape by shape."""
        shapes = [tuple(shape) for shape in self.shapes[rows]]
        for wanted in dict.fromkeys(shapes):
            yield rows[[shape == wanted for shape in shapes]]

    def stored(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays for a file: `images` alone with four axes where all have one shape."""
        if len(np.unique(self.shapes, axis=0)) == 1:
            return {IMAGES: self.values.reshape(len(self), *self.shapes[0])}
        return {IMAGES: self.values, SHAPES: self.shapes}

    @staticmethod
    def restored(arrays: Mapping[str, npt.NDArray[Any]]) -> Pictures:
        """Return the pictures of a file. Raises KeyError or ValueError."""
        images = arrays[IMAGES]
        if SHAPES in arrays:
            return Pictures(images, arrays[SHAPES].astype(np.int64, casting="safe"))
        if images.ndim != AXES + 1:
            raise ValueError(
                f"the images are {list(images.shape)}; [images, height, width, channels] are "
                f"expected, or bytes [all] with `{SHAPES}` [images, 3]"
            )
        shapes = np.tile(np.array(images.shape[1:], np.int64), (len(images), 1))
        return Pictures(np.ascontiguousarray(images).reshape(-1), shapes)

    @staticmethod
    def of(pictures: Sequence[Picture]) -> Pictures:
        """Return pictures [height, width, channels] as `Pictures`."""
        values = np.concatenate([picture.reshape(-1) for picture in pictures])
        return Pictures(values, np.array([picture.shape for picture in pictures], np.int64))
