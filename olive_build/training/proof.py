"""The artifacts against PyTorch: the same steps from the same start, measured and not judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.training.freed import free_memory
from olive_build.training.session import (
    CHECKPOINT,
    EVAL_MODEL,
    NOMINAL_CHECKPOINT,
    OPTIMIZER_MODEL,
    TRAINING_MODEL,
    Array,
    TrainingSession,
)
from olive_build.training.steps_file import RecordedSteps

TRAINED = "trained.onnx"
# A gradient smaller than this share of the whole gradient is measured against the share: what
# rounding leaves of a gradient that is zero (an attention key's bias) has no direction.
SMALLEST_SHARE = 1e-3
NOMINAL_STEPS = 3


@dataclass(frozen=True)
class Figures:
    """What training_proof.json says, and feeds and output that trained.onnx is checked with."""

    record: dict[str, Any]
    feeds: dict[str, Array] = field(default_factory=dict)
    expected: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class _Run:
    """What the uninterrupted run gave; the checkpoint was saved after `half` steps."""

    losses: list[float]
    half: int
    digests: dict[str, str]
    gradients: dict[str, Any]
    changed: list[str]
    output: Array
    eval_difference: float


def prove(
    artifacts: Path,
    recorded: RecordedSteps,
    described: Mapping[str, Any],
    output: str,
    out: Path,
) -> Figures:
    """Train as PyTorch did, write trained.onnx, and return the figures.

    `output` is the model's output that the loss is taken of. Figures that miss are returned like
    others; StepError only where something does not run at all.
    """
    saved = out / "halfway"
    run = _uninterrupted(artifacts, recorded, described, output, saved, out / TRAINED)
    record: dict[str, Any] = {
        "steps": len(recorded),
        "losses": run.losses,
        "losses_difference": losses_difference(run.losses, recorded.losses),
        "gradients": run.gradients,
        "eval_difference": run.eval_difference,
        "frozen_identical": not run.changed,
        "frozen_changed": run.changed,
        "resume_exact": _resumes(artifacts, recorded, run, saved),
        "ort_difference": _of_ort(artifacts, recorded, run.losses),
        "nominal_exact": _of_nominal(artifacts, recorded, run.losses),
        "loads": _files(artifacts),
    }
    saved.unlink()
    inputs, _ = recorded.evaluation()
    names = [entry["name"] for entry in described["inputs"]]
    return Figures(record, dict(zip(names, inputs, strict=True)), run.output)


def losses_difference(losses: Sequence[float], expected: Sequence[float]) -> float:
    """Return the largest difference, relative to losses above 1; infinite where not finite."""
    differences = [
        abs(one - other) / max(1.0, abs(other)) for one, other in zip(losses, expected, strict=True)
    ]
    return max((d if math.isfinite(d) else math.inf) for d in differences)


def gradients_difference(
    gradients: Mapping[str, Array], expected: Callable[[str], Array]
) -> dict[str, Any]:
    """Return the largest ||g - g'|| / ||g'|| of a parameter, its name, and how many there are."""
    whole = math.sqrt(sum(_norm(expected(name)) ** 2 for name in gradients))
    worst, parameter = 0.0, ""
    for name, gradient in gradients.items():
        error = _relative(gradient, expected(name), SMALLEST_SHARE * whole)
        if error > worst or not parameter:
            worst, parameter = error, name
    return {"worst": worst, "parameter": parameter, "count": len(gradients)}


def _gradients(session: TrainingSession, recorded: RecordedSteps, step: int) -> dict[str, Any]:
    """Compare the gradients of a step that is about to be taken with autograd's."""
    _, found = session.loss_and_gradients(*recorded.batch(step))
    return gradients_difference(found, partial(recorded.gradient, step))


def _relative(gradient: Array, expected: Array, floor: float) -> float:
    if gradient.shape != expected.shape:
        return math.inf
    size = max(_norm(expected), floor, float(np.finfo(np.float32).tiny))
    error = _norm(np.subtract(gradient, expected, dtype=np.float64)) / size
    return error if math.isfinite(error) else math.inf


def _norm(values: Array) -> float:
    return float(np.linalg.norm(np.asarray(values, np.float64)))


def _uninterrupted(
    artifacts: Path,
    recorded: RecordedSteps,
    described: Mapping[str, Any],
    output: str,
    saved: Path,
    trained: Path,
) -> _Run:
    session = TrainingSession(artifacts)
    before = session.digests(trainable=False)
    gradients = _gradients(session, recorded, 0)
    half = len(recorded) // 2
    losses = _train(session, recorded, 0, 1)
    gradients = max(gradients, _gradients(session, recorded, 1), key=lambda item: item["worst"])
    losses += _train(session, recorded, 1, half)
    session.save_checkpoint(saved)
    losses += _train(session, recorded, half, len(recorded))
    after = session.digests(trainable=False)
    inputs, logits = recorded.evaluation()
    _, outputs = session.evaluate(inputs, recorded.unused_target(inputs))
    value = outputs[list(described["outputs"]).index(output)]
    session.export_inference(trained, [output])
    run = _Run(
        losses=losses,
        half=half,
        digests=session.digests(trainable=True),
        gradients=gradients,
        changed=sorted(name for name in before if before[name] != after.get(name)),
        output=value,
        eval_difference=largest_difference(value, logits),
    )
    _end(session)
    return run


def largest_difference(one: Array, other: Array) -> float:
    """Return the largest absolute difference; infinite where shapes differ or it is not finite."""
    if one.shape != other.shape:
        return math.inf
    difference = float(np.abs(np.subtract(one, other, dtype=np.float64)).max())
    return difference if math.isfinite(difference) else math.inf


def _train(session: TrainingSession, recorded: RecordedSteps, start: int, end: int) -> list[float]:
    return [session.step(*recorded.batch(number)) for number in range(start, end)]


def _resumes(artifacts: Path, recorded: RecordedSteps, run: _Run, saved: Path) -> bool:
    """Whether training goes on from the saved checkpoint as if it had not been interrupted."""
    session = TrainingSession(artifacts, checkpoint=saved)
    losses = _train(session, recorded, run.half, len(recorded))
    same = losses == run.losses[run.half :] and session.digests(trainable=True) == run.digests
    _end(session)
    return same


def _of_ort(artifacts: Path, recorded: RecordedSteps, losses: Sequence[float]) -> float | None:
    """The largest difference of the ORT form's losses from the .onnx form's; None without one."""
    if not (artifacts / TRAINING_MODEL).with_suffix(".ort").is_file():
        return None
    session = TrainingSession(artifacts, form="ort")
    difference = losses_difference(_train(session, recorded, 0, len(recorded)), losses)
    _end(session)
    return difference


def _of_nominal(artifacts: Path, recorded: RecordedSteps, losses: Sequence[float]) -> bool | None:
    """Whether the nominal checkpoint, given the parameters, trains the same; None without one."""
    if not (artifacts / NOMINAL_CHECKPOINT).is_file():
        return None
    session = TrainingSession(artifacts, checkpoint=artifacts / NOMINAL_CHECKPOINT)
    whole = TrainingSession(artifacts)
    session.take_parameters(whole)
    _end(whole)
    steps = min(NOMINAL_STEPS, len(recorded))
    same = _train(session, recorded, 0, steps) == list(losses[:steps])
    _end(session)
    return same


def _end(session: TrainingSession) -> None:
    session.close()
    free_memory()


def _files(artifacts: Path) -> list[str]:
    """Name the files that sessions above were made of."""
    models = [TRAINING_MODEL, EVAL_MODEL, OPTIMIZER_MODEL]
    forms = [str(Path(name).with_suffix(".ort")) for name in models]
    names = [*models, *forms, CHECKPOINT, NOMINAL_CHECKPOINT]
    return sorted(name for name in names if (artifacts / name).is_file())
