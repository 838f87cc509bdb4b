"""The artifacts against PyTorch: the same steps from the same start, measured and not judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.training.differences import (
    faint,
    gradients_difference,
    losses_difference,
    outputs_difference,
    parameters_difference,
)
from olive_build.training.freed import free_memory
from olive_build.training.optimizer_check import optimizer_differences
from olive_build.training.session import (
    CHECKPOINT,
    EVAL_MODEL,
    NOMINAL_CHECKPOINT,
    OPTIMIZER_MODEL,
    TRAINING_MODEL,
    Array,
    TrainingSession,
)
from olive_build.training.settings import Optimizer
from olive_build.training.steps_file import RecordedSteps

TRAINED = "trained.onnx"
NOMINAL_STEPS = 3


@dataclass(frozen=True)
class Figures:
    """What training_proof.json says, and feeds and outputs that trained.onnx is checked with.

    `expected` is the evaluation model's output, `pytorch` PyTorch's.
    """

    record: dict[str, Any]
    feeds: dict[str, Array] = field(default_factory=dict)
    expected: Array = field(default_factory=lambda: np.zeros(0))
    pytorch: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class _Run:
    """What the uninterrupted run gave; the checkpoint was saved after `half` steps."""

    losses: list[float]
    half: int
    digests: dict[str, str]
    gradients: dict[str, Any]
    changed: list[str]
    parameters: dict[str, Any]
    optimizer: list[str]
    loss: float
    output: Array


@dataclass(frozen=True)
class _Proved:
    """The artifacts, what PyTorch computed, and the index of the output that the loss is of.

    `moving` are the trained parameters whose gradients are more than rounding; `threads` compute,
    None for all cores.
    """

    artifacts: Path
    recorded: RecordedSteps
    optimizer: Optimizer
    output: str
    index: int
    moving: list[str]
    threads: int | None = None

    def open(self, **others: Any) -> TrainingSession:
        """Return a session of the artifacts."""
        return TrainingSession(self.artifacts, threads=self.threads, **others)


def prove(
    artifacts: Path,
    recorded: RecordedSteps,
    described: Mapping[str, Any],
    optimizer: Optimizer,
    output: str,
    out: Path,
) -> Figures:
    """Train as PyTorch did, write trained.onnx, and return the figures.

    `output` is the model's output that the loss is taken of. Figures that miss are returned like
    others; StepError only where something does not run at all.
    """
    small = faint(recorded.gradient, recorded.trained, recorded.gradient_steps)
    moving = [name for name in recorded.trained if name not in small]
    index = list(described["outputs"]).index(output)
    proved = _Proved(artifacts, recorded, optimizer, output, index, moving)
    saved = out / "halfway"
    run = _uninterrupted(proved, saved, out / TRAINED)
    loss, logits = recorded.evaluated()
    record: dict[str, Any] = {
        "steps": len(recorded),
        "losses": run.losses,
        "losses_difference": losses_difference(run.losses, recorded.losses),
        "gradients": run.gradients,
        "parameters": run.parameters,
        "faint": small,
        "unmoved": _unmoved(recorded),
        "optimizer_differences": run.optimizer,
        "eval_difference": outputs_difference(run.output, logits),
        "eval_loss_difference": losses_difference([run.loss], [loss]),
        "frozen_identical": not run.changed,
        "frozen_changed": run.changed,
        **_exact(proved, run, saved),
        "loads": _files(artifacts),
        **_of_ort(proved, run),
    }
    saved.unlink()
    inputs, _ = recorded.evaluation()
    names = [entry["name"] for entry in described["inputs"]]
    return Figures(record, dict(zip(names, inputs, strict=True)), run.output, logits)


def _exact(proved: _Proved, run: _Run, saved: Path) -> dict[str, Any]:
    """Whether the same steps are taken after a resume, and from a nominal checkpoint.

    The gradient of an embedding is summed in the order in which threads come, so that two runs of
    the same steps differ: where they do, one thread has to do.
    """
    found = {
        "resume_exact": _resumes(proved, run, saved),
        "nominal_exact": _of_nominal(proved, run.losses),
        "exact_threads": proved.threads,
    }
    if proved.threads == 1 or (found["resume_exact"] and found["nominal_exact"] is not False):
        return found
    alone = replace(proved, threads=1)
    exported = saved.with_name("alone.onnx")
    again = _uninterrupted(alone, saved, exported)
    exported.unlink()
    return _exact(alone, again, saved)


def _unmoved(recorded: RecordedSteps) -> list[str]:
    """Name the parameters whose recorded gradients are all exactly zero, as of a ReLU never on."""
    return [
        name
        for name in recorded.trained
        if not any(recorded.gradient(s, name).any() for s in range(recorded.gradient_steps))
    ]


def _gradients(session: TrainingSession, recorded: RecordedSteps, step: int) -> dict[str, Any]:
    """Compare the gradients of a step that is about to be taken with autograd's."""
    _, found = session.loss_and_gradients(*recorded.batch(step))
    return gradients_difference(found, partial(recorded.gradient, step), recorded.trained)


def _parameters(session: TrainingSession, proved: _Proved) -> dict[str, Any]:
    """Compare the parameters after the last step with PyTorch's."""
    recorded = proved.recorded
    found = session.parameters(trainable=True)
    return parameters_difference(
        found, recorded.initial, recorded.final, proved.moving, len(recorded)
    )


def _uninterrupted(proved: _Proved, saved: Path, trained: Path) -> _Run:
    recorded = proved.recorded
    session = proved.open()
    before = session.digests(trainable=False)
    optimizer = optimizer_differences(
        proved.artifacts / OPTIMIZER_MODEL,
        proved.optimizer,
        session.learning_rate,
        session.rate_scale,
    )
    half = max(len(recorded) // 2, recorded.gradient_steps)
    losses: list[float] = []
    compared = []
    for step in range(recorded.gradient_steps):
        compared.append(_gradients(session, recorded, step))
        losses += _train(session, recorded, step, step + 1)
    losses += _train(session, recorded, recorded.gradient_steps, half)
    session.save_checkpoint(saved)
    losses += _train(session, recorded, half, len(recorded))
    after = session.digests(trainable=False)
    loss, output = _evaluated(session, proved)
    session.export_inference(trained, [proved.output])
    run = _Run(
        losses=losses,
        half=half,
        digests=session.digests(trainable=True),
        gradients=max(compared, key=lambda item: item["worst"]),
        changed=sorted(name for name in before if before[name] != after.get(name)),
        parameters=_parameters(session, proved),
        optimizer=optimizer,
        loss=loss,
        output=output,
    )
    _end(session)
    return run


def _evaluated(session: TrainingSession, proved: _Proved) -> tuple[float, Array]:
    loss, outputs = session.evaluate(*proved.recorded.evaluation())
    return loss, outputs[proved.index]


def _train(session: TrainingSession, recorded: RecordedSteps, start: int, end: int) -> list[float]:
    return [session.step(*recorded.batch(number)) for number in range(start, end)]


def _resumes(proved: _Proved, run: _Run, saved: Path) -> bool:
    """Whether training goes on from the saved checkpoint as if it had not been interrupted."""
    recorded = proved.recorded
    session = proved.open(checkpoint=saved)
    losses = _train(session, recorded, run.half, len(recorded))
    same = losses == run.losses[run.half :] and session.digests(trainable=True) == run.digests
    _end(session)
    return same


def _of_ort(proved: _Proved, run: _Run) -> dict[str, Any]:
    """The largest difference of the ORT form's losses and outputs from the .onnx form's.

    None without one. Where its parameters are further from PyTorch's than the .onnx form's, they
    take that figure's place.
    """
    if not (proved.artifacts / TRAINING_MODEL).with_suffix(".ort").is_file():
        return {"ort_difference": None}
    session = proved.open(form="ort")
    losses = _train(session, proved.recorded, 0, len(proved.recorded))
    loss, output = _evaluated(session, proved)
    parameters = _parameters(session, proved)
    _end(session)
    difference = max(
        losses_difference([*losses, loss], [*run.losses, run.loss]),
        outputs_difference(output, run.output),
    )
    worst = max(run.parameters, parameters, key=lambda item: item["worst"])
    return {"ort_difference": difference, "parameters": worst}


def _of_nominal(proved: _Proved, losses: Sequence[float]) -> bool | None:
    """Whether the nominal checkpoint, given the parameters, trains the same; None without one."""
    artifacts, recorded = proved.artifacts, proved.recorded
    if not (artifacts / NOMINAL_CHECKPOINT).is_file():
        return None
    session = proved.open(checkpoint=artifacts / NOMINAL_CHECKPOINT)
    whole = proved.open()
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
