"""References of image classifiers: images, their labels, and PyTorch's logits.

reference.json   kind, names of the classes, how pixels are prepared
reference.npz    images uint8 [images, height, width, channels], labels [images],
                 logits [images, classes]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import run_named
from olive_build.errors import StepError
from olive_build.proof.classification import ClassAgreement, class_agreement
from olive_build.proof.embedding import Floats
from olive_build.proof.pixels import Pixels

BATCH = 8
IMAGE = "image"
PIXEL_VALUES = "pixel_values"
LOGITS = "logits"

Rows = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ClassificationReference:
    """Images uint8 [images, height, width, channels], labels, and PyTorch's logits."""

    images: Images
    labels: npt.NDArray[np.int64]
    logits: Floats
    names: tuple[str, ...]
    pixels: Pixels

    kind: ClassVar[str] = "classification"
    samples: ClassVar[str] = "images"

    @property
    def count(self) -> int:
        return len(self.logits)

    @property
    def expected(self) -> Floats:
        return self.logits

    def batches(self) -> list[Rows]:
        """Return the rows of each batch, shuffled, so that no batch holds one class alone."""
        rows = np.random.default_rng(0).permutation(len(self.labels))
        return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]

    def run(self, session: Any, rows: Rows) -> Floats:
        """Return the logits [rows, classes] that a file gives.

        One that takes `image` is given the images; one that takes `pixel_values` is given those
        prepared, in the type that it takes. A file of fixed shapes is given its own batches.
        """
        names = [value.name for value in session.get_outputs()]
        if LOGITS not in names:
            raise StepError(
                f"the model has no output '{LOGITS}'", why=f"its outputs are {', '.join(names)}"
            )
        size = session.get_inputs()[0].shape[0]
        batch = size if isinstance(size, int) else len(rows)
        outputs = [
            run_named(session, self._feeds(session, rows[start : start + batch], batch))
            for start in range(0, len(rows), batch)
        ]
        logits = [found[names.index(LOGITS)] for found in outputs]
        output: Floats = np.concatenate(logits)[: len(rows)].astype(np.float32)
        expected = (len(rows), self.logits.shape[1])
        if output.shape != expected:
            raise StepError(
                "the model's output has another shape than PyTorch's",
                why=f"it is {list(output.shape)}; {list(expected)} is expected",
            )
        return output

    def _feeds(self, session: Any, rows: Rows, batch: int) -> dict[str, npt.NDArray[Any]]:
        images = self.images[np.resize(rows, batch)]  # repeated where the batch is not full
        takes = {value.name: value.type for value in session.get_inputs()}
        if IMAGE in takes:
            return {IMAGE: images}
        half = takes.get(PIXEL_VALUES) == "tensor(float16)"
        return {PIXEL_VALUES: self.pixels.prepare(images).astype("f2" if half else "f4")}

    def compare(self, candidate: Floats, expected: Floats) -> ClassAgreement:
        """Return accuracy, agreement and cosines of logits [images, classes]."""
        return class_agreement(candidate, expected, self.labels)

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what reference.json and reference.npz hold."""
        described = {"names": list(self.names), "pixels": self.pixels.as_json()}
        return described, {"images": self.images, "labels": self.labels, "logits": self.logits}

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> ClassificationReference:
        """Return the reference of what was stored. Raises ValueError, KeyError or TypeError."""
        images, labels, logits = (arrays[name] for name in ("images", "labels", "logits"))
        if not len(images) == len(labels) == len(logits):
            raise ValueError("images, labels and logits differ in number")
        return ClassificationReference(
            images.astype(np.uint8),
            labels.astype(np.int64),
            logits.astype(np.float32),
            tuple(described["names"]),
            Pixels.restored(described["pixels"]),
        )
