"""References of models that go on learning: the graph's inputs and PyTorch's logits.

reference.json   kind, names of the inputs, name of the output
reference.npz    input.<name> [8, ...] for each input, logits [8, outputs]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import run_named
from olive_build.errors import StepError
from olive_build.proof.embedding import Floats

ROWS = 8
INPUT = "input."
LOGITS = "logits"
DIGITS = 7

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LogitsReference:
    """Inputs by the graph's names [rows, ...], PyTorch's logits [rows, outputs], the output."""

    feeds: Mapping[str, npt.NDArray[Any]]
    logits: Floats
    output: str

    kind: ClassVar[str] = "logits"
    metric: ClassVar[str] = "logits"
    samples: ClassVar[str] = "inputs"

    @property
    def count(self) -> int:
        return len(self.logits)

    @property
    def expected(self) -> Floats:
        return self.logits

    def batches(self) -> list[Rows]:
        """Return the rows of each batch of eight, in order."""
        rows = np.arange(len(self.logits))
        return [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]

    def run(self, session: Any, rows: Rows) -> Floats:
        """Return the logits [rows, outputs] that a file gives.

        A file of a fixed batch is given that many at a time. Raises StepError where the file has
        other inputs or another output.
        """
        takes = {value.name: value.shape for value in session.get_inputs()}
        gives = [value.name for value in session.get_outputs()]
        if set(takes) != set(self.feeds) or self.output not in gives:
            raise StepError(
                "the model has other inputs or outputs than its reference",
                why=f"it takes {', '.join(takes)} and gives {', '.join(gives)}; "
                f"{', '.join(self.feeds)} and {self.output} are expected",
            )
        size = next(iter(takes.values()))[0]
        batch = size if isinstance(size, int) else len(rows)
        logits = [
            run_named(session, self._feeds(rows[start : start + batch], batch))[
                gives.index(self.output)
            ]
            for start in range(0, len(rows), batch)
        ]
        output: Floats = np.concatenate(logits)[: len(rows)].astype(np.float32)
        expected = (len(rows), self.logits.shape[1])
        if output.shape != expected:
            raise StepError(
                "the model's output has another shape than PyTorch's",
                why=f"it is {list(output.shape)}; {list(expected)} is expected",
            )
        return output

    def _feeds(self, rows: Rows, batch: int) -> dict[str, npt.NDArray[Any]]:
        full = np.resize(rows, batch)  # repeated where the batch is not full
        return {name: values[full] for name, values in self.feeds.items()}

    def compare(self, candidate: Floats, expected: Floats) -> dict[str, float]:
        """Return how near logits [rows, outputs] are to others.

        A row with a value that is no finite number is as far away as can be, and agrees with none.
        Where there is one output, there is no greatest one to agree on.
        """
        bad = ~np.isfinite(candidate).all(axis=1)
        apart = np.abs(candidate.astype(np.float64) - expected)
        far = float(np.finfo(np.float32).max) if bad.any() else float(apart.max())
        if expected.shape[1] < 2:
            return {"logits_difference": far}
        same = np.where(bad, -1, candidate.argmax(axis=1)) == expected.argmax(axis=1)
        return {"logits_difference": far, "top1_agreement": round(float(same.mean()), DIGITS)}

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what reference.json and reference.npz hold."""
        arrays = {f"{INPUT}{name}": values for name, values in self.feeds.items()}
        described = {"inputs": list(self.feeds), "output": self.output}
        return described, {**arrays, LOGITS: self.logits}

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> LogitsReference:
        """Return the reference of what was stored. Raises ValueError, KeyError or TypeError."""
        feeds = {str(name): arrays[f"{INPUT}{name}"] for name in described["inputs"]}
        logits = arrays[LOGITS].astype(np.float32)
        if not feeds or any(len(values) != len(logits) for values in feeds.values()):
            raise ValueError("inputs and logits differ in number")
        return LogitsReference(feeds, logits, str(described["output"]))


REFERENCE = LogitsReference
