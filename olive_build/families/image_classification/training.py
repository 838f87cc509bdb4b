"""The PyTorch side of an image classifier that goes on learning. Imported in workers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from olive_build.families.image_classification.spec import inspect
from olive_build.families.loading import Loaded
from olive_build.families.still import load_still
from olive_build.proof.pixels import Pixels
from olive_build.proof.references.classification import LOGITS, PIXEL_VALUES

INPUTS = (PIXEL_VALUES,)
OUTPUT = LOGITS
# Rows of the inputs by which it is found out what outputs read.
PROBE_BATCH = 2


def loading(folder: Path, head: str | None = None) -> Loaded:
    """Return the model with what is to be said of its files.

    What they lack of `head`, the layer that a new one takes the place of, is zero. Raises PlanError
    where an output reads anything else that they lack.
    """

    def run(model: torch.nn.Module) -> torch.Tensor:
        given = examples(folder, PROBE_BATCH, {}, 0)
        return forward(model, *(torch.from_numpy(given[name]) for name in INPUTS))

    return load_still(transformers.AutoModelForImageClassification, folder, run, head)


def load(folder: Path, head: str | None = None) -> torch.nn.Module:
    """Return the model in eval mode, fp32; nothing is dropped by chance."""
    model: torch.nn.Module = loading(folder, head).model
    return model


def forward(model: torch.nn.Module, pixel_values: torch.Tensor) -> torch.Tensor:
    """Return logits [batch_size, classes] of pixels [batch_size, channels, height, width]."""
    logits: torch.Tensor = model(pixel_values=pixel_values).logits
    return logits


def axes(shapes: Mapping[str, int]) -> dict[str, tuple[int | str, ...]]:
    """Return the first axes of each input and of the output: a number, or a name where free.

    Axes that are not named are the model's own, as `examples` and `forward` have them.
    """
    batch: int | str = shapes.get("batch_size", "batch_size")
    return {PIXEL_VALUES: (batch,), OUTPUT: (batch,)}


def examples(
    folder: Path, batch: int, shapes: Mapping[str, int], seed: int
) -> dict[str, npt.NDArray[Any]]:
    """Return seeded images as they are prepared, [batch, channels, height, width]."""
    facts = inspect(folder)
    size = (batch, facts.height, facts.width, facts.channels)
    images = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    prepared = facts.prepared
    pixels = Pixels(prepared.rescale, prepared.mean, prepared.std, prepared.flips)
    return {PIXEL_VALUES: pixels.prepare(images)}
