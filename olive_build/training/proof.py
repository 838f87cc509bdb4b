"""The artifacts against PyTorch: the same steps from the same states, measured and not judged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.training.differences import faint, losses_difference, outputs_difference
from olive_build.training.optimizer_check import optimizer_differences, read_with_onnx
from olive_build.training.ort_graphs import read_ort_graph
from olive_build.training.recorded_steps import Repeated, close, fill_states, repeat_steps, worst
from olive_build.training.session import (
    CHECKPOINT,
    EVAL_MODEL,
    NOMINAL_CHECKPOINT,
    OPTIMIZER_MODEL,
    TRAINING_MODEL,
    Array,
    Form,
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
    """What the uninterrupted run gave; the checkpoint was saved after `half` steps.

    `begun` are the digests of what is trained before the first step, `digests` after the last.
    """

    losses: list[float]
    half: int
    begun: dict[str, str]
    digests: dict[str, str]
    changed: list[str]
    optimizer: list[str]


@dataclass(frozen=True)
class _Proved:
    """The artifacts, what PyTorch computed, and the index of the output that the loss is of.

    `threads` compute, None for all cores.
    """

    artifacts: Path
    recorded: RecordedSteps
    optimizer: Optimizer
    output: str
    index: int
    threads: int | None = None

    def open(self, checkpoint: Path | None = None, form: Form = "onnx") -> TrainingSession:
        """Return a session of the artifacts."""
        return TrainingSession(
            self.artifacts, threads=self.threads, checkpoint=checkpoint, form=form
        )


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
    index = list(described["outputs"]).index(output)
    proved = _Proved(artifacts, recorded, optimizer, output, index)
    saved = out / "halfway"
    states = {step: out / f"state-{step}" for step in (*recorded.compared[1:], len(recorded))}
    run = _uninterrupted(proved, saved, states)
    fill_states(states, recorded)
    repeated = repeat_steps(
        proved.open,
        states,
        recorded,
        lambda session: session.export_inference(out / TRAINED, [output]),
    )
    record = {
        **_of_steps(proved, run, repeated),
        **_exact(proved, run, saved),
        "loads": _files(artifacts),
        **_of_ort(proved, repeated, states),
    }
    for path in (saved, *states.values()):
        path.unlink()
    inputs, _ = recorded.evaluation()
    names = [entry["name"] for entry in described["inputs"]]
    feeds = dict(zip(names, inputs, strict=True))
    return Figures(record, feeds, repeated.outputs[index], recorded.evaluated()[1])


def _of_steps(proved: _Proved, run: _Run, repeated: Repeated) -> dict[str, Any]:
    """Compare with PyTorch what the whole run gave, and what single steps did."""
    recorded = proved.recorded
    loss, logits = recorded.evaluated()
    return {
        "steps": len(recorded),
        "compared": recorded.compared,
        "losses": run.losses,
        "losses_difference": repeated.losses_difference,
        "free_difference": losses_difference(run.losses, recorded.losses),
        "gradients": repeated.gradients,
        "parameters": repeated.parameters,
        "faint": faint(recorded.gradient, recorded.trained, recorded.compared),
        "unmoved": _unmoved(recorded),
        "start_changed": _others(run.begun, recorded),
        "optimizer_differences": run.optimizer,
        "eval_difference": outputs_difference(repeated.outputs[proved.index], logits),
        "eval_loss_difference": losses_difference([repeated.loss], [loss]),
        "frozen_identical": not run.changed,
        "frozen_changed": run.changed,
    }


def _others(begun: Mapping[str, str], recorded: RecordedSteps) -> list[str]:
    """Name what only one of both trains, or begins from other bits than the other."""
    names = sorted({*begun, *recorded.trained})
    trained = set(recorded.trained)
    return [n for n in names if n not in trained or begun.get(n) != _digest(recorded.initial(n))]


def _digest(values: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


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
    return _exact(alone, _uninterrupted(alone, saved, {}), saved)


def _unmoved(recorded: RecordedSteps) -> list[str]:
    """Name the parameters whose recorded gradients are all exactly zero, as of a ReLU never on."""
    return [
        name
        for name in recorded.trained
        if not any(recorded.gradient(step, name).any() for step in recorded.compared)
    ]


def _uninterrupted(proved: _Proved, saved: Path, states: Mapping[int, Path]) -> _Run:
    """Take all steps, each from what the last one left.

    After half of them a checkpoint goes to `saved`, and after as many as `states` says to its
    files.
    """
    recorded = proved.recorded
    session = proved.open()
    before = session.digests(trainable=False)
    begun = session.digests(trainable=True)
    optimizer = _of_optimizer(proved, session)
    half = max(1, len(recorded) // 2)
    losses: list[float] = []
    for step in range(len(recorded)):
        losses += _train(session, recorded, step, step + 1)
        if step + 1 in states:
            session.save_checkpoint(states[step + 1])
        if step + 1 == half:
            session.save_checkpoint(saved)
    after = session.digests(trainable=False)
    run = _Run(
        losses=losses,
        half=half,
        begun=begun,
        digests=session.digests(trainable=True),
        changed=sorted(name for name in before if before[name] != after.get(name)),
        optimizer=optimizer,
    )
    close(session)
    return run


def _of_optimizer(proved: _Proved, session: TrainingSession) -> list[str]:
    """Return how the optimizer's files differ from the recipe's optimizer."""
    path = proved.artifacts / OPTIMIZER_MODEL
    graphs = [read_with_onnx(path)]
    if path.with_suffix(".ort").is_file():
        graphs.append(read_ort_graph(path.with_suffix(".ort")))
    rates = (session.learning_rate, session.rate_scale)
    said = [
        item for graph in graphs for item in optimizer_differences(graph, proved.optimizer, *rates)
    ]
    return list(dict.fromkeys(said))


def _train(session: TrainingSession, recorded: RecordedSteps, start: int, end: int) -> list[float]:
    return [session.step(*recorded.batch(number)) for number in range(start, end)]


def _resumes(proved: _Proved, run: _Run, saved: Path) -> bool:
    """Whether training goes on from the saved checkpoint as if it had not been interrupted."""
    recorded = proved.recorded
    session = proved.open(checkpoint=saved)
    losses = _train(session, recorded, run.half, len(recorded))
    same = losses == run.losses[run.half :] and session.digests(trainable=True) == run.digests
    close(session)
    return same


def _of_ort(proved: _Proved, other: Repeated, states: Mapping[int, Path]) -> dict[str, Any]:
    """The largest difference of the ORT form's losses and outputs from the .onnx form's.

    None without one. Where its gradients or parameters are further from PyTorch's than the .onnx
    form's, they take that figure's place.
    """
    if not (proved.artifacts / TRAINING_MODEL).with_suffix(".ort").is_file():
        return {"ort_difference": None}

    def begin(checkpoint: Path | None) -> TrainingSession:
        return proved.open(checkpoint, "ort")

    found = repeat_steps(begin, states, proved.recorded)
    difference = max(
        losses_difference([*found.losses, found.loss], [*other.losses, other.loss]),
        outputs_difference(found.outputs[proved.index], other.outputs[proved.index]),
    )
    return {
        "ort_difference": difference,
        "gradients": worst([other.gradients, found.gradients]),
        "parameters": worst([other.parameters, found.parameters]),
    }


def _of_nominal(proved: _Proved, losses: Sequence[float]) -> bool | None:
    """Whether the nominal checkpoint, given the parameters, trains the same; None without one."""
    artifacts, recorded = proved.artifacts, proved.recorded
    if not (artifacts / NOMINAL_CHECKPOINT).is_file():
        return None
    session = proved.open(checkpoint=artifacts / NOMINAL_CHECKPOINT)
    whole = proved.open()
    session.take_parameters(whole)
    close(whole)
    steps = min(NOMINAL_STEPS, len(recorded))
    same = _train(session, recorded, 0, steps) == list(losses[:steps])
    close(session)
    return same


def _files(artifacts: Path) -> list[str]:
    """Name the files that sessions above were made of."""
    models = [TRAINING_MODEL, EVAL_MODEL, OPTIMIZER_MODEL]
    forms = [str(Path(name).with_suffix(".ort")) for name in models]
    names = [*models, *forms, CHECKPOINT, NOMINAL_CHECKPOINT]
    return sorted(name for name in names if (artifacts / name).is_file())
