"""The PyTorch side of an image classifier: what is exported, and what it must agree with.

Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from olive_build.families.image_classification.images import read_labelled
from olive_build.families.image_classification.library import Library
from olive_build.families.image_classification.preparation import Resize
from olive_build.families.image_classification.sample import images_of, own_pictures
from olive_build.families.image_classification.spec import ImageClassificationFacts, inspect
from olive_build.families.loading import Loaded, from_files
from olive_build.olive_bridge import TorchExport
from olive_build.proof.pictures import Picture, Pictures
from olive_build.proof.pixels import Pixels
from olive_build.proof.references.classification import (
    LOGITS,
    PIXEL_VALUES,
    ClassificationReference,
)

# Traced with a batch that is no power of two, so that the axis is not taken for a constant.
EXAMPLE_BATCH = 3
PROBE_BATCHES = (1, 2, 7)
# PyTorch's reference is taken in batches of this many; it does not depend on it.
REFERENCE_BATCH = 64


class Classifier(torch.nn.Module):
    """The network with one named input and one output.

    pixel_values is [batch_size, channels, height, width], logits [batch_size, classes].
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(pixel_values=pixel_values).logits
        return logits


def loading(folder: Path) -> Loaded:
    """Return the network with what is to be said of its files; see `from_files`."""

    def run(model: torch.nn.Module) -> torch.Tensor:
        found: torch.Tensor = Classifier(model)(torch.from_numpy(probe(inspect(folder), 1)))
        return found

    return from_files(transformers.AutoModelForImageClassification, folder, run)


def load(folder: Path) -> Classifier:
    """Return the model in eval mode, in fp32 whatever its weights are stored in."""
    return Classifier(loading(folder).model).eval()


def torch_export(folder: Path, component: str) -> TorchExport:
    """Return what Olive's conversion needs; the batch is dynamic."""
    facts = inspect(folder)
    return TorchExport(
        load=lambda: load(folder),
        example=lambda: {PIXEL_VALUES: probe(facts, EXAMPLE_BATCH)},
        inputs=facts.inputs,
        outputs=(LOGITS,),
        dynamic_axes={PIXEL_VALUES: {0: "batch_size"}, LOGITS: {0: "batch_size"}},
        probes=lambda: [{PIXEL_VALUES: probe(facts, batch)} for batch in PROBE_BATCHES],
    )


def probe(facts: ImageClassificationFacts, batch: int) -> npt.NDArray[np.float32]:
    """Return seeded pixels [batch, channels, height, width], as those of prepared images."""
    return pixels_of(facts).prepare(images_of(facts, batch))


def reference(folder: Path, data: Path) -> ClassificationReference:
    """Return what transformers makes of the images in `data`, and of pictures of our own.

    Its image processor prepares them, its model gives the logits, its pipeline the names and the
    scores. Raises StepError for bad data, and where our reading of the model's files says else.
    """
    facts, model = inspect(folder), load(folder)
    images, labels = read_labelled(data, facts, what="the proof's data")
    own = list(own_pictures(facts.prepared))
    library = Library(folder, model, facts)
    pictures = Pictures.of([*images, *own])
    answers = [library.answer(part) for part in _parts(pictures)]
    prepared, found = (np.concatenate(parts) for parts in zip(*answers, strict=True))
    is_same = pictures.stored().keys() == {"images"} and np.array_equal(
        pictures.values, prepared.reshape(-1)
    )
    return ClassificationReference(
        images=pictures,
        labels=labels,
        logits=found,
        names=facts.labels,
        pixels=pixels_of(facts),
        prepared=None if is_same else prepared,
        moved=library.moved(prepared[len(images) :]),
        scores=facts.scores,
        resizes=any(isinstance(step, Resize) for step in facts.prepared.steps),
    )


def _parts(pictures: Pictures) -> Iterator[list[Picture]]:
    """Yield pictures in their order, so many at a time."""
    remaining = iter(pictures)
    while part := list(islice(remaining, REFERENCE_BATCH)):
        yield part


def logits(model: Classifier, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return PyTorch's logits [images, classes] of pixels [images, channels, height, width]."""
    with torch.inference_mode():
        found: npt.NDArray[np.float32] = model(torch.from_numpy(pixels)).numpy()
    return found


def pixels_of(facts: ImageClassificationFacts) -> Pixels:
    """Return how the model's images are prepared."""
    prepared = facts.prepared
    return Pixels(prepared.rescale, prepared.mean, prepared.std, prepared.flips)


def runner(
    folder: Path, model: Classifier, takes: str, sample: str, size: int, batch: int
) -> Callable[[], Any]:
    """Return a call that classifies `size` images `batch` times over in PyTorch eager, for timing.

    `takes` is `image`, which prepares the images in each call as an application would, or `pixels`.
    """
    facts = inspect(folder)
    images, pixels = images_of(facts, size * batch), pixels_of(facts)
    mean, std = (torch.tensor(values) for values in (pixels.mean, pixels.std))
    given, prepared = torch.from_numpy(images), torch.from_numpy(pixels.prepare(images))

    def from_pixels() -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = model(prepared)
        return found

    def from_images() -> torch.Tensor:
        with torch.inference_mode():
            scaled = (given.float() * pixels.rescale - mean) / std
            found: torch.Tensor = model(scaled.permute(0, 3, 1, 2)).softmax(-1)
        return found

    return from_images if takes == "image" else from_pixels
