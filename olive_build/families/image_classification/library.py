"""What transformers itself makes of pictures: the judge of all that is built of a classifier.

Imported in worker processes only. Nothing of how images are prepared is taken from our reading of
the model's files; where that reading says something else, it is an error here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from PIL import Image

from olive_build.errors import StepError, first_line
from olive_build.families.image_classification.spec import ImageClassificationFacts
from olive_build.proof.classification import scores_of
from olive_build.proof.pictures import Picture
from olive_build.proof.pixels import Pixels

# Of the largest value, of pixels and of scores: what single precision loses.
TOLERANCE = 1e-4
# How often a grey level is added and taken at random, to see what it moves.
SHAKES = 4


class Library:
    """The image processor of a folder, in its backend of Pillow, the model, and the pipeline."""

    def __init__(self, folder: Path, classifier: Any, facts: ImageClassificationFacts) -> None:
        try:
            self._processor = transformers.AutoImageProcessor.from_pretrained(
                str(folder), backend="pil"
            )
        except (ValueError, OSError, ImportError) as error:
            raise StepError(
                "transformers cannot load the image processor",
                where=str(folder),
                why=first_line(error),
            ) from error
        self._model, self._facts = classifier.model, facts
        self._pipeline = transformers.ImageClassificationPipeline(
            model=classifier.model, image_processor=self._processor
        )
        prepared = facts.prepared
        self._pixels = Pixels(prepared.rescale, prepared.mean, prepared.std, prepared.flips)

    def answer(self, pictures: Sequence[Picture]) -> tuple[Picture, npt.NDArray[np.float32]]:
        """Return what the network is given, and its logits [pictures, classes].

        The first is bytes [pictures, height, width, channels], which pixels are made of. Raises
        StepError where our reading of the pixels, the names or the scores is another.
        """
        pixels = self.pixel_values(pictures)
        prepared = self._pixels.restore(pixels)
        apart = np.abs(self._pixels.prepare(prepared) - pixels).max()
        if apart > TOLERANCE * np.abs(pixels).max():
            raise _unlike("pixels", f"they differ by {apart:.3g}")
        logits = self._logits(pixels)
        for row in logits:
            self._check_answer(row)
        return prepared, logits

    def pixel_values(self, pictures: Sequence[Picture]) -> npt.NDArray[np.float32]:
        """Return pixels [pictures, channels, height, width] of pictures [height, width, channels].

        Raises StepError where they have not the size of our reading.
        """
        images = [Image.fromarray(p[..., 0] if p.shape[2] == 1 else p) for p in pictures]
        try:
            found = np.stack(self._processor(images=images)["pixel_values"])
        except ValueError as error:
            raise StepError(
                "transformers' image processor cannot prepare the images", why=first_line(error)
            ) from error
        facts = self._facts
        size = (facts.channels, facts.height, facts.width)
        if found.shape[1:] != size:
            raise _unlike("pixels", f"they are {list(found.shape[1:])}, and we read {list(size)}")
        # Where nothing is rescaled they are bytes, which most networks do not take.
        return np.ascontiguousarray(found, np.float32)

    def moved(self, prepared: Picture) -> npt.NDArray[np.float32]:
        """Return by how much a grey level, more or less, moves margins of logits [pictures]."""
        random = np.random.default_rng(0)
        still, most = self._logits(self._pixels.prepare(prepared)), np.zeros(len(prepared))
        for _ in range(SHAKES):
            steps = random.integers(-1, 2, prepared.shape)
            shaken = np.clip(prepared.astype(np.int64) + steps, 0, 255).astype(np.uint8)
            apart = np.abs(self._logits(self._pixels.prepare(shaken)) - still).max(axis=1)
            most = np.maximum(most, 2 * apart)
        return most.astype(np.float32)

    def _logits(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        try:
            with torch.inference_mode():
                found: npt.NDArray[np.float32] = self._model(
                    torch.from_numpy(pixels)
                ).logits.numpy()
        except (ValueError, RuntimeError) as error:
            raise StepError(
                "the model does not take what its image processor gives",
                why=first_line(error),
                hint="the sizes in the processor's file must be those that the model was made for",
            ) from error
        return found

    def _check_answer(self, logits: npt.NDArray[np.float32]) -> None:
        """Raise StepError where the pipeline has other names or scores than our reading."""
        names, outputs = self._facts.labels, {"logits": torch.from_numpy(logits[None])}
        rows = self._pipeline.postprocess(outputs, top_k=len(names))
        given = sorted((row["label"], row["score"]) for row in rows)
        scores = scores_of(logits[None], self._facts.scores)[0]
        wanted = sorted(zip(names, map(float, scores), strict=True))
        if [name for name, _ in given] != [name for name, _ in wanted]:
            raise _unlike("names of the classes", f"they are {', '.join(x for x, _ in given)}")
        apart = max(abs(one[1] - other[1]) for one, other in zip(given, wanted, strict=True))
        if apart > TOLERANCE * max(1.0, float(np.abs(scores).max())):
            raise _unlike("scores", f"they differ by {apart:.3g}; we read '{self._facts.scores}'")


def _unlike(what: str, why: str) -> StepError:
    return StepError(
        f"transformers' {what} are not those that were read from the model's files",
        why=why,
        hint="this is a fault of the build: please report it with the model's configuration files",
    )
