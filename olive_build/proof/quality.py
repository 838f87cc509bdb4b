"""How closely a file reproduces PyTorch, on stored references. Needs only onnxruntime and numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import StepError, first_line
from olive_build.proof.figures import every, worst
from olive_build.proof.reference import Reference

DIGITS = 7


class Session(Protocol):
    """What an open file can do: an InferenceSession, or several that run as one."""

    def get_inputs(self) -> Sequence[Any]:
        """Return the inputs, each with `name`, `type` and `shape`."""
        ...

    def get_outputs(self) -> Sequence[Any]:
        """Return the outputs, each with `name`."""
        ...

    def run(self, names: None, feeds: Mapping[str, Any], /) -> Sequence[Any]:
        """Return all outputs, in the order of `get_outputs`."""
        ...


@dataclass(frozen=True)
class Agreement:
    """Figures of the samples one by one, and of the same in batches of eight.

    `batched` is None for models that take one sample at a time.
    """

    single: Mapping[str, float]
    batched: Mapping[str, float] | None

    @property
    def worst(self) -> dict[str, float]:
        """The worse of both, figure by figure; budgets limit this one."""
        if self.batched is None:
            return dict(self.single)
        return worst([self.single, self.batched], self.single)

    def as_json(self) -> dict[str, Any]:
        described: dict[str, Any] = {**self.worst, "single": self.single}
        if self.batched is not None:
            described["batched"] = self.batched
        return described


@dataclass(frozen=True)
class FileQuality:
    """A file against PyTorch, and against the fp32 graph where it is not that graph.

    `samples` says what was counted, and `count` how many there were.
    """

    against_torch: Agreement
    against_fp32: Agreement | None
    samples: str
    count: int

    def as_json(self) -> dict[str, Any]:
        described = {**self.against_torch.as_json(), self.samples: self.count}
        if self.against_fp32 is not None:
            described["against_fp32"] = self.against_fp32.as_json()
        return described


@dataclass(frozen=True)
class Outputs:
    """The outputs of a file for all samples: one by one, and in batches where it takes batches."""

    single: Any
    batched: Any | None


def measure_quality(
    model: Path | Session, reference: Reference, *, baseline: Path | Session | None = None
) -> FileQuality:
    """Run the model on every reference sample, singly and in batches of eight, and compare.

    `model` is a .onnx or .ort file, or what has a session's methods; `baseline` is the fp32 graph
    that it came from, which is run on the same. Raises StepError when one cannot be loaded or run.
    """
    fp32 = None if baseline is None else run_reference(baseline, reference)
    return quality_of(run_reference(model, reference), reference, baseline=fp32)


def quality_of(
    outputs: Outputs, reference: Reference, *, baseline: Outputs | None = None
) -> FileQuality:
    """Compare a file's outputs with PyTorch's, and with those of the fp32 graph it came from."""
    expected = reference.expected
    return FileQuality(
        against_torch=_compared(reference, outputs, Outputs(expected, expected)),
        against_fp32=None if baseline is None else _compared(reference, outputs, baseline),
        samples=reference.samples,
        count=reference.count,
    )


def _compared(reference: Reference, candidate: Outputs, expected: Outputs) -> Agreement:
    return Agreement(
        _measured(reference, candidate.single, expected.single),
        None
        if candidate.batched is None
        else _measured(reference, candidate.batched, expected.batched),
    )


def _measured(reference: Reference, candidate: Any, expected: Any) -> dict[str, float]:
    """Return the figures of this kind of reference, and those with a `measure` of their own."""
    found = reference.compare(candidate, expected)
    for figure in every().values():
        if figure.measure is not None and reference.metric in figure.metrics:
            found[figure.name] = round(figure.measure(reference, candidate, expected), DIGITS)
    return found


def run_reference(model: Path | Session, reference: Reference) -> Outputs:
    """Run the model on every reference sample, singly and in batches of eight.

    Raises StepError when it cannot be loaded or run.
    """
    session, name = model, "the model"
    if isinstance(model, Path):
        # A kind may look into a file beside running it.
        session, name = getattr(reference, "open", open_session)(model), model.name
    try:
        return _run(session, reference)
    except StepError:
        raise
    except Exception as error:
        raise StepError(f"onnxruntime cannot run {name}", why=first_line(error)) from error


def _run(session: Any, reference: Reference) -> Outputs:
    batches = reference.batches()
    if not batches:
        return Outputs(reference.run(session, np.arange(len(reference.expected))), None)
    order = np.concatenate(batches)
    single = [reference.run(session, np.array([row])) for row in range(len(order))]
    together = [reference.run(session, rows) for rows in batches]
    batched = np.empty_like(reference.expected)
    batched[order] = np.concatenate(together)
    return Outputs(np.concatenate(single), batched)
