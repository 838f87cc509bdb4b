"""References of image classifiers: pictures, their labels and transformers' logits.

reference.json   kind, names of the classes, how pixels are prepared, how scores follow from logits
reference.npz    images uint8 [images, height, width, channels], or bytes [all] with shapes
                 [images, 3]; labels of the first of them, the user's; logits [images, classes];
                 prepared uint8 [images, height, width, channels], the bytes of the pixels that
                 transformers gives the network, where they are not the images; moved [own
                 pictures], what one grey level moves of a margin between two logits
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import run_named
from olive_build.errors import StepError
from olive_build.proof.classification import SOFTMAX, PictureFigures, class_agreement, scores_of
from olive_build.proof.embedding import Floats
from olive_build.proof.pictures import Pictures
from olive_build.proof.pixels import Pixels

BATCH = 8
IMAGE = "image"
PIXEL_VALUES = "pixel_values"
LOGITS = "logits"
PROBABILITIES = "probabilities"
# What a score may lose in single precision, and in others: steps between neighbouring numbers.
SCORE_TOLERANCE, SCORE_STEPS = 1e-5, 8

Rows = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ClassificationReference:
    """Pictures, the labels of the first of them, and transformers' logits of all.

    Those without a label are the proof's own, of odd sizes. `prepared` are the bytes of what the
    network is given, None where these are the pictures; `scores` says how answers follow from
    logits, and `resizes` whether pictures are resized. `moved` is by how much one grey level can
    change the difference between two logits of each own picture.
    """

    images: Pictures
    labels: npt.NDArray[np.int64]
    logits: Floats
    names: tuple[str, ...]
    pixels: Pixels
    prepared: Images | None = None
    moved: Floats | None = None
    scores: str = SOFTMAX
    resizes: bool = False

    kind: ClassVar[str] = "classification"
    metric: ClassVar[str] = "accuracy"
    samples: ClassVar[str] = "images"

    @property
    def count(self) -> int:
        return len(self.logits)

    @property
    def expected(self) -> Floats:
        """Logits [images, classes + 1]; the last column, the difference of pixels, is zero."""
        nothing = np.zeros((len(self.logits), 1), np.float32)
        return np.hstack([self.logits, nothing]).astype(np.float32)

    def some(self, rows: Rows) -> ClassificationReference:
        """Return the reference of some of the labelled images."""
        return replace(
            self,
            images=Pictures.of([self.images.batch(np.array([row]))[0] for row in rows]),
            labels=self.labels[rows],
            logits=self.logits[rows],
            prepared=None if self.prepared is None else self.prepared[rows],
            moved=None,
        )

    def batches(self) -> list[Rows]:
        """Return the rows of each batch, shuffled, so that no batch holds one class alone."""
        rows = np.random.default_rng(0).permutation(len(self.logits))
        return [
            alike[start : start + BATCH]
            for alike in self.images.alike(rows)
            for start in range(0, len(alike), BATCH)
        ]

    def open(self, path: Path) -> Any:
        """Return a session of a file that shows its pixels, where it prepares them."""
        from olive_build.proof.prepared_pixels import PreparingSession

        return PreparingSession(path, PIXEL_VALUES)

    def run(self, session: Any, rows: Rows) -> Floats:
        """Return the logits that a file gives, and how far its pixels are: [rows, classes + 1].

        The last column is in grey levels: see `_apart`. A file that takes `image` is given the
        pictures; one that takes `pixel_values` is given transformers' pixels, in the type that it
        takes. A file of fixed shapes is given its own batches. Raises StepError where scores are
        not transformers' function of the logits.
        """
        names = [value.name for value in session.get_outputs()]
        if LOGITS not in names:
            raise StepError(
                f"the model has no output '{LOGITS}'", why=f"its outputs are {', '.join(names)}"
            )
        size = session.get_inputs()[0].shape[0]
        batch = size if isinstance(size, int) else len(rows)
        found = [
            self._run(session, rows[start : start + batch], batch, names)
            for start in range(0, len(rows), batch)
        ]
        output: Floats = np.concatenate(found)
        return output

    def _run(self, session: Any, rows: Rows, batch: int, names: list[str]) -> Floats:
        full = np.resize(rows, batch)  # repeated where the batch is not full
        feeds = self._feeds(session, full)
        outputs = dict(zip(names, run_named(session, feeds), strict=True))
        logits = outputs[LOGITS].astype(np.float32)
        if logits.shape != (batch, self.logits.shape[1]):
            raise StepError(
                "the model's output has another shape than PyTorch's",
                why=f"it is {list(logits.shape)}; {[batch, self.logits.shape[1]]} is expected",
            )
        if PROBABILITIES in outputs:
            self._check_scores(outputs[PROBABILITIES], outputs[LOGITS])
        apart = self._apart(session, feeds, full)[:, None]
        output: Floats = np.hstack([logits, apart]).astype(np.float32)[: len(rows)]
        return output

    def _check_scores(self, given: npt.NDArray[Any], logits: npt.NDArray[Any]) -> None:
        wanted = scores_of(logits.astype(np.float32), self.scores)
        apart = np.abs(given.astype(np.float64) - wanted)
        bad = ~np.isfinite(logits).all(axis=1, keepdims=True)
        allowed = max(SCORE_TOLERANCE, SCORE_STEPS * float(np.finfo(given.dtype).eps))
        if np.where(bad, 0, apart).max() > allowed * max(1.0, float(np.abs(wanted).max())):
            raise StepError(
                f"the model's '{PROBABILITIES}' are not what transformers makes of its logits",
                why=f"that is their {self.scores}; the largest difference is {apart.max():.3g}",
            )

    def _apart(self, session: Any, feeds: Mapping[str, Any], rows: Rows) -> Floats:
        """Return how far the file's pixels are from transformers', in grey levels [rows].

        Infinite where it does not show them, and no number where it was given transformers' own.
        """
        prepare = getattr(session, "prepare", None)
        found = prepare(feeds) if prepare and IMAGE in feeds else None
        if found is None:
            given = [IMAGE not in feeds or self._is_left_alone(row) for row in rows]
            return np.where(given, np.nan, np.inf).astype(np.float32)
        levels = self.pixels.levels(found - self._pixels(rows))
        apart: Floats = levels.max(axis=(1, 2, 3)).astype(np.float32)
        return apart

    def _is_left_alone(self, row: int) -> bool:
        """Whether transformers makes pixels of exactly these bytes, without resizing."""
        if self.prepared is None:
            return True
        return np.array_equal(self.images.batch(np.array([row]))[0], self.prepared[row])

    def _pixels(self, rows: Rows) -> npt.NDArray[np.float32]:
        bytes_ = self.images.batch(rows) if self.prepared is None else self.prepared[rows]
        return self.pixels.prepare(bytes_)

    def _feeds(self, session: Any, rows: Rows) -> dict[str, npt.NDArray[Any]]:
        takes = {value.name: value.type for value in session.get_inputs()}
        if IMAGE in takes:
            return {IMAGE: self.images.batch(rows)}
        half = takes.get(PIXEL_VALUES) == "tensor(float16)"
        return {PIXEL_VALUES: self._pixels(rows).astype("f2" if half else "f4")}

    def compare(self, candidate: Floats, expected: Floats) -> dict[str, float]:
        """Return accuracy, agreement and cosines of what `run` gives of all images."""
        figures = PictureFigures(len(self.labels), self.moved, self.resizes)
        return class_agreement(candidate, expected, self.labels, figures)

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what reference.json and reference.npz hold."""
        described = {
            "names": list(self.names),
            "pixels": self.pixels.as_json(),
            "scores": self.scores,
            "resizes": self.resizes,
        }
        more = {"prepared": self.prepared, "moved": self.moved}
        arrays = {name: values for name, values in more.items() if values is not None}
        return described, {
            **self.images.stored(),
            "labels": self.labels,
            "logits": self.logits,
            **arrays,
        }

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> ClassificationReference:
        """Return the reference of what was stored. Raises ValueError, KeyError or TypeError."""
        images, labels, logits = Pictures.restored(arrays), arrays["labels"], arrays["logits"]
        prepared, moved = (arrays.get(name) for name in ("prepared", "moved"))
        own = 0 if moved is None else len(moved)
        if not len(images) == len(labels) + own == len(logits):
            raise ValueError("images, labels and logits differ in number")
        if prepared is not None and len(prepared) != len(images):
            raise ValueError("images and what was prepared of them differ in number")
        return ClassificationReference(
            images,
            labels.astype(np.int64),
            logits.astype(np.float32),
            tuple(described["names"]),
            Pixels.restored(described["pixels"]),
            prepared,
            moved,
            # Bundles of before have neither: their files had a softmax and resized nothing.
            str(described.get("scores", SOFTMAX)),
            bool(described.get("resizes", False)),
        )


REFERENCE = ClassificationReference
