"""How well a file does what PyTorch does, on stored references. onnxruntime and numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import StepError, first_line
from olive_build.proof.reference import Figures, Reference
from olive_build.proof.verdict import FLOORS

F = TypeVar("F", bound=Figures)
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Comparison(Generic[F]):
    """Figures of the samples one by one, and of the same in batches of eight."""

    single: F
    batched: F

    @property
    def worst(self) -> dict[str, float]:
        """The worse of both, figure by figure: what budgets are held against."""
        one, other = self.single.as_json(), self.batched.as_json()
        return {name: (min if name in FLOORS else max)(one[name], other[name]) for name in one}

    def as_json(self) -> dict[str, Any]:
        return {
            **self.worst,
            "single": self.single.as_json(),
            "batched": self.batched.as_json(),
        }


@dataclass(frozen=True)
class Quality:
    """A file against PyTorch, and against the fp32 graph where it is not that graph.

    `samples` says what was counted, and `count` how many there were.
    """

    against_torch: Comparison[Any]
    against_fp32: Comparison[Any] | None
    samples: str
    count: int

    @property
    def single(self) -> Any:
        """Figures against PyTorch, sample by sample."""
        return self.against_torch.single

    @property
    def batched(self) -> Any:
        """Figures against PyTorch, in batches."""
        return self.against_torch.batched

    def as_json(self) -> dict[str, Any]:
        described = {**self.against_torch.as_json(), self.samples: self.count}
        if self.against_fp32 is not None:
            described["against_fp32"] = self.against_fp32.as_json()
        return described


@dataclass(frozen=True)
class _Outputs:
    """What a file gives, [samples, values] each: one by one, and in batches."""

    single: Floats
    batched: Floats


def measure_quality(
    model: Path, reference: Reference, *, baseline: Path | None = None, threads: int = 1
) -> Quality:
    """Run the .onnx or .ort file on every reference sample, singly and in batches of eight.

    `baseline` is the fp32 graph that the file came from, which is run on the same. Raises
    StepError when a file cannot be loaded or run.
    """
    outputs = _outputs(model, reference, threads)
    expected = reference.expected
    against_fp32 = None
    if baseline is not None:
        fp32 = _outputs(baseline, reference, threads)
        against_fp32 = Comparison(
            reference.compare(outputs.single, fp32.single),
            reference.compare(outputs.batched, fp32.batched),
        )
    return Quality(
        against_torch=Comparison(
            reference.compare(outputs.single, expected),
            reference.compare(outputs.batched, expected),
        ),
        against_fp32=against_fp32,
        samples=reference.samples,
        count=len(expected),
    )


def _outputs(model: Path, reference: Reference, threads: int) -> _Outputs:
    session = open_session(model, threads=threads)
    batches = reference.batches()
    order = np.concatenate(batches)
    try:
        single = [reference.run(session, np.array([row])) for row in range(len(order))]
        together = [reference.run(session, rows) for rows in batches]
    except StepError:
        raise
    except Exception as error:
        raise StepError(f"onnxruntime cannot run {model.name}", why=first_line(error)) from error
    batched = np.empty_like(reference.expected)
    batched[order] = np.concatenate(together)
    return _Outputs(np.concatenate(single), batched)
