"""Images as the network's inputs, for quantizers. numpy alone: no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from olive_build.families.image_classification.images import read_images
from olive_build.families.image_classification.spec import inspect
from olive_build.proof.classification_reference import PIXEL_VALUES
from olive_build.proof.pixels import Pixels


def calibration_feeds(folder: Path, data: Path) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield the exported graph's input for each image: float [1, channels, height, width].

    Raises StepError for bad data.
    """
    facts = inspect(folder)
    images = read_images(data, facts, what="the calibration data")
    pixels = Pixels(facts.rescale, facts.mean, facts.std)
    for image in images:
        yield {PIXEL_VALUES: pixels.prepare(image[None])}
