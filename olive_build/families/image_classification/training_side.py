"""The PyTorch side of an image classifier that goes on learning. Imported in workers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import transformers

from olive_build.families.image_classification.spec import inspect
from olive_build.families.training_side import BATCH, Arrays, TrainingSide
from olive_build.proof.pixels import Pixels
from olive_build.proof.references.classification import LOGITS, PIXEL_VALUES


def _examples(folder: Path, batch: int, shapes: Mapping[str, int], seed: int) -> Arrays:
    """Return seeded images as they are prepared, [batch, channels, height, width]."""
    facts = inspect(folder)
    size = (batch, facts.height, facts.width, facts.channels)
    images = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    prepared = facts.prepared
    pixels = Pixels(prepared.rescale, prepared.mean, prepared.std, prepared.flips)
    return {PIXEL_VALUES: pixels.prepare(images)}


side = TrainingSide(
    transformers.AutoModelForImageClassification, {PIXEL_VALUES: (BATCH,)}, _examples, LOGITS
)
loading = side.loading
