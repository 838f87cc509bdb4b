"""The PyTorch side of a classifier of sounds that goes on learning. Imported in workers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import transformers

from olive_build.families.audio_classification.spec import inspect
from olive_build.families.training_side import BATCH, Arrays, TrainingSide


def _examples(folder: Path, batch: int, shapes: Mapping[str, int], seed: int) -> Arrays:
    """Return seeded noise as prepared clips are, [batch, samples]; a second where free.

    Raises PlanError where `shapes` fix fewer samples than the model takes.
    """
    data = inspect(folder).training_data(shapes)
    samples = data["samples"] or max(data["sampling_rate"], data["shortest"])
    noise = np.random.default_rng(seed).standard_normal((batch, samples))
    return {"input_values": noise.astype(np.float32)}


side = TrainingSide(
    transformers.AutoModelForAudioClassification, {"input_values": (BATCH, "samples")}, _examples
)
loading = side.loading
