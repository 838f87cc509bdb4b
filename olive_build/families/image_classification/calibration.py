"""Images as the network's inputs, for quantizers. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.families.image_classification.images import read_images
from olive_build.families.image_classification.preparing import preparing_model
from olive_build.families.image_classification.spec import inspect
from olive_build.proof.references.classification import IMAGE, PIXEL_VALUES


def calibration_feeds(folder: Path, data: Path) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield the exported graph's input for each image: float [1, channels, height, width].

    Pictures are prepared by the graph that a composed file begins with. Raises StepError for bad
    data.
    """
    facts = inspect(folder)
    images = read_images(data, facts, what="the calibration data")
    session = open_session(preparing_model(facts.prepared).SerializeToString())
    for image in images:
        yield {PIXEL_VALUES: run_named(session, {IMAGE: image[None]})[0]}
