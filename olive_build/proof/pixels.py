"""From an image's bytes to what a vision model takes. numpy only.

Follows transformers' image processors (image_transforms.py: rescale, normalize).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Pixels:
    """How a model's images are prepared: a factor on the bytes, then mean and std by channel."""

    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return float [images, channels, height, width] of bytes [.., height, width, channels]."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled = (images.astype(np.float32) * np.float32(self.rescale) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def restored(described: Mapping[str, Any]) -> Pixels:
        """Return what `as_json` gave. Raises KeyError, TypeError or ValueError."""
        return Pixels(
            float(described["rescale"]),
            tuple(map(float, described["mean"])),
            tuple(map(float, described["std"])),
        )
