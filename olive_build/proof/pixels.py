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
    """How a model's images are prepared: a factor on the bytes, then mean and std by channel.

    `flips` says whether the channels come in the other order first.
    """

    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flips: bool = False

    def prepare(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return float [images, channels, height, width] of bytes [.., height, width, channels]."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        ordered = images[..., ::-1] if self.flips else images
        scaled = (ordered.astype(np.float32) * np.float32(self.rescale) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def restore(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Return the bytes [.., height, width, channels] that `prepare` turns into these pixels."""
        values = pixels.transpose(0, 2, 3, 1).astype(np.float64) * self.std + self.mean
        whole = np.clip(np.round(values / self.rescale), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(whole[..., ::-1] if self.flips else whole)

    def levels(self, difference: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return differences of pixels [.., channels, height, width] in grey levels of 255."""
        sizes = np.reshape(self.std, (-1, 1, 1)) / abs(self.rescale)
        found: npt.NDArray[np.float64] = np.abs(difference.astype(np.float64)) * np.abs(sizes)
        return found

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def restored(described: Mapping[str, Any]) -> Pixels:
        """Return what `as_json` gave. Raises KeyError, TypeError or ValueError."""
        return Pixels(
            float(described["rescale"]),
            tuple(map(float, described["mean"])),
            tuple(map(float, described["std"])),
            bool(described.get("flips", False)),
        )
