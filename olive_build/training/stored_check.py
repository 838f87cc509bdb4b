"""The steps that a bundle keeps of PyTorch, repeated with the files that a device gets."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.errors import BundleError
from olive_build.proof.reference import read_reference
from olive_build.proof.references.logits import LogitsReference
from olive_build.training.checkpoint_file import put_state, read_checkpoint
from olive_build.training.differences import (
    SMALLEST_SHARE,
    losses_difference,
    outputs_difference,
)
from olive_build.training.recorded_steps import close, worst
from olive_build.training.session import (
    NOMINAL_CHECKPOINT,
    TRAINING_MODEL,
    Array,
    Form,
    TrainingSession,
)
from olive_build.training.sketch import length, sketch
from olive_build.training.stored_steps import (
    COUNT,
    GRADIENT,
    MOVE,
    STORED,
    StoredSteps,
    key,
    read_stored,
)


@dataclass(frozen=True)
class Bundle:
    """The training files of a folder, and the inputs of its reference in the graph's order.

    `index` is that of the output that the loss is of.
    """

    artifacts: Path
    inputs: Sequence[Array]
    index: int
    form: Form
    threads: int | None = None

    def open(self, checkpoint: Path | None = None) -> TrainingSession:
        """Return a session of the files."""
        return TrainingSession(
            self.artifacts, form=self.form, checkpoint=checkpoint, threads=self.threads
        )


def repeat_stored(bundle: Bundle, stored: StoredSteps) -> dict[str, Any]:
    """Take the stored steps, each from its state; return how far they are from PyTorch's.

    `losses_difference`, `gradients`, `parameters`, `eval_difference` (outputs),
    `eval_loss_difference`, `frozen_changed` (names) and `start_changed` (names that only one side
    trains, or that begin from other bits), as in training_proof.json.
    """
    session = bundle.open()
    initial = session.parameters(trainable=True)
    begun = {name: hashlib.sha256(value.data).hexdigest() for name, value in initial.items()}
    expected = stored.begun
    start = sorted(n for n in {*begun, *expected} if begun.get(n) != expected.get(n))
    if set(initial) != set(expected):
        close(session)
        return _unlike(start)
    with tempfile.TemporaryDirectory() as scratch:
        # What the runtime saves after a step has a place for moments, and the count of steps.
        template = Path(scratch) / "checkpoint"
        session.step(*_batch(bundle, stored, 0))
        session.save_checkpoint(template)
        close(session)
        found = [_repeat(bundle, stored, template, initial, step) for step in range(COUNT)]
    return {
        "losses_difference": max(item["loss"] for item in found),
        "gradients": worst([item["gradients"] for item in found]),
        "parameters": worst([item["parameters"] for item in found]),
        "eval_difference": max(item["outputs"] for item in found),
        "eval_loss_difference": max(item["eval_loss"] for item in found),
        "frozen_changed": sorted({name for item in found for name in item["frozen"]}),
        "start_changed": start,
    }


def check_stored(
    artifacts: Path, reference: Path, names: Sequence[str], index: int
) -> list[dict[str, Any]]:
    """Repeat the steps that `reference` holds in each form of the artifacts; see repeat_stored."""
    bundles, stored = stored_bundles(artifacts, reference, names, index)
    return [repeat_stored(bundle, stored) for bundle in bundles]


def stored_bundles(
    artifacts: Path, reference: Path, names: Sequence[str], index: int
) -> tuple[list[Bundle], StoredSteps]:
    """Return the forms in which the artifacts are there, and the steps that `reference` holds.

    `names` are the model's inputs; the loss is of the output `index`. Raises BundleError where the
    reference cannot be read, or is of another model.
    """
    stored = read_stored(reference / STORED)
    kept = read_reference(reference)
    if not isinstance(kept, LogitsReference) or set(kept.feeds) != set(names):
        raise BundleError(
            "the stored references are not of this model",
            where=str(reference),
            why=f"the model takes {', '.join(names)}",
            hint="build the bundle again",
        )
    inputs = [kept.feeds[name] for name in names]
    forms: tuple[Form, ...] = ("onnx", "ort")
    there = [f for f in forms if (artifacts / TRAINING_MODEL).with_suffix(f".{f}").is_file()]
    return [Bundle(artifacts, inputs, index, form) for form in there], stored


def nominal_exact(bundles: Sequence[Bundle], stored: StoredSteps) -> bool | None:
    """Whether the nominal checkpoint, given the parameters, steps as the whole one does.

    In one thread, where sums do not depend on which thread comes first; None without one.
    """
    nominal = bundles[0].artifacts / NOMINAL_CHECKPOINT
    if not nominal.is_file():
        return None
    ends = []
    for bundle in (replace(item, threads=1) for item in bundles):
        whole, given = bundle.open(), bundle.open(nominal)
        given.take_parameters(whole)
        for session in (whole, given):
            loss = session.step(*_batch(bundle, stored, 0))
            ends.append((bundle.form, loss, session.digests(trainable=True)))
            close(session)
    return all(one == other for one, other in zip(ends[::2], ends[1::2], strict=True))


def worse(record: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of the proof in which the worse of each figure stands."""
    numbers = ("losses_difference", "eval_difference", "eval_loss_difference")
    names = ("frozen_changed", "start_changed")
    merged: dict[str, Any] = {name: max(record[name], found[name]) for name in numbers}
    merged |= {name: worst([record[name], found[name]]) for name in ("gradients", "parameters")}
    merged |= {name: sorted({*record[name], *found[name]}) for name in names}
    return {**record, **merged}


def _unlike(start: list[str]) -> dict[str, Any]:
    """What is said where other parameters learn: no figure of steps would mean anything."""
    unlike = {"worst": float("inf"), "parameter": start[0]}
    return {
        **dict.fromkeys(("losses_difference", "eval_difference"), float("inf")),
        "eval_loss_difference": float("inf"),
        "gradients": unlike,
        "parameters": unlike,
        "frozen_changed": [],
        "start_changed": start,
    }


def _batch(bundle: Bundle, stored: StoredSteps, step: int) -> tuple[list[Array], Array]:
    rows = stored.arrays["rows"][step]
    return [values[rows] for values in bundle.inputs], stored.arrays[f"target.{step}"]


def _repeat(
    bundle: Bundle, stored: StoredSteps, state: Path, initial: Mapping[str, Array], step: int
) -> dict[str, Any]:
    """Put a step's state into the checkpoint `state`, take the step, and compare all of it."""
    put_state(state, stored.state(step, initial))
    batch, loss = _batch(bundle, stored, step), float(stored.arrays["losses"][step])
    session = bundle.open(state)
    frozen = session.digests(trainable=False)
    before = session.parameters(trainable=True)
    eval_loss, outputs = session.evaluate(*batch)
    found, gradients = session.loss_and_gradients(*batch)
    session.step(*batch)
    after = session.parameters(trainable=True)
    changed = [n for n, digest in session.digests(trainable=False).items() if digest != frozen[n]]
    close(session)
    moves = {n: after[n].astype(np.float64) - before[n] for n in after}
    return {
        "loss": losses_difference([found], [loss]),
        "eval_loss": losses_difference([eval_loss], [loss]),
        "outputs": outputs_difference(outputs[bundle.index], stored.arrays[f"logits.{step}"]),
        "gradients": _gradients(stored, gradients, step),
        "parameters": _moves(stored, moves, step),
        "frozen": changed,
    }


def _gradients(stored: StoredSteps, found: Mapping[str, Array], step: int) -> dict[str, Any]:
    lengths = stored.arrays["gradient_lengths"][step]
    floor = SMALLEST_SHARE * float(np.linalg.norm(lengths))
    return _furthest(stored, found, GRADIENT, step, np.maximum(lengths, floor), 0 * lengths)


def _moves(stored: StoredSteps, found: Mapping[str, Array], step: int) -> dict[str, Any]:
    lengths = stored.arrays["move_lengths"][step]
    return _furthest(stored, found, MOVE, step, lengths, stored.arrays["roundings"][step])


def _furthest(
    stored: StoredSteps,
    found: Mapping[str, Array],
    kind: int,
    step: int,
    lengths: Array,
    spared: Array,
) -> dict[str, Any]:
    """Return the worst difference relative to `lengths`, `spared` being left out of it."""
    expected = stored.arrays["gradients" if kind == GRADIENT else "moves"][step]
    errors = []
    for index, name in enumerate(stored.names):
        apart = length(sketch(found[name], *key(kind, step, index)) - expected[index])
        apart = max(apart - float(spared[index]), 0.0) if np.isfinite(apart) else float("inf")
        errors.append(apart / max(float(lengths[index]), float(np.finfo(np.float32).tiny)))
    number = int(np.argmax(errors))
    return {"worst": errors[number], "parameter": stored.names[number], "count": len(errors)}


def differs_from_inference(checkpoint: Path, model: Path) -> list[str]:
    """Name what the checkpoint holds and the model for inference has not, or with other values."""
    import onnx

    from olive_build.onnx_files import models

    held = models.read(model).graph.initializer
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in held}
    found = read_checkpoint(checkpoint)
    return sorted(
        name
        for name, tensor in {**found.trainable, **found.frozen}.items()
        if name not in stored or not np.array_equal(stored[name], tensor.values())
    )
