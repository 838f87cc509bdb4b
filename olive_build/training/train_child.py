"""The process in which `olive-build train` trains: one JSON request on stdin, events on stdout.

It runs in the training toolchain. The request:

    {"artifacts": "bundle/training", "form": "onnx", "checkpoint": null, "data": "data.npz",
     "out": "folder", "inputs": ["pixel_values"], "outputs": ["logits"], "loss_output": "logits",
     "loss": {"name": "cross-entropy", "class_weights": []}, "margin": null,
     "trainable": {"head.weight": [16, 3]}, "fixed_batch": null, "batch_size": 8,
     "learning_rate": 0.001, "seed": 0, "epochs": 5, "epochs_before": 0}

`data` holds input.<name> and target, held.<name> and held_target (what is kept for judging), and
compared.<name> and compared_target (what the trained model's outputs are written for). `out` gets
checkpoint-<epoch> after each epoch, and at the end inference.onnx and compared.npz. The events:

    {"evaluated": {"epoch": 0, "loss": 0.7, "accuracy": 0.5,     before training, after each epoch
                   "shares": [1.0, 0.0], "equal_error_rate": 0.5}}    as held_out.Judged has them
    {"step": 1, "steps": 40, "epoch": 1, "epochs": 5, "loss": 0.7, "milliseconds": 2.1}
    {"saved": {"epoch": 1}}                                      the checkpoint is whole
    {"done": {"steps": 40, "milliseconds_per_step": 2.0}}
    {"error": {"kind": "StepError", "what": "...", ...}}         as errors.OliveBuildError has them
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from olive_build.errors import OliveBuildError, StepError, UsageError
from olive_build.processes import follow_parent
from olive_build.training.held_out import Judged, judge
from olive_build.training.runtime import training_runtime
from olive_build.training.settings import Loss

CHECKPOINT, INFERENCE, COMPARED = "checkpoint", "inference.onnx", "compared.npz"
# Seeds of two epochs, or of two runs with neighbouring seeds, are far apart.
SEEDS_APART = 1_000_003
# Of parameters that do not fit, so many are named.
MOST_TOLD = 5

Say = Callable[[Mapping[str, Any]], object]


def main() -> None:
    """Train as the request says."""
    follow_parent()
    # Libraries print to stdout; events keep the original one.
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.read())

    def say(event: Mapping[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    try:
        Training(request, say).run()
    except OliveBuildError as error:
        say({"error": error.as_json()})
        sys.exit(error.exit_code)


class Training:
    """One request, carried out."""

    def __init__(self, request: Mapping[str, Any], say: Say) -> None:
        import numpy as np

        from olive_build.training.session import TrainingSession

        self._request = request
        self._say = say
        self._out = Path(request["out"])
        with np.load(request["data"]) as data:
            self._data = {name: data[name] for name in data.files}
        checkpoint = request["checkpoint"]
        if checkpoint:
            check_checkpoint(Path(checkpoint), request["trainable"])
        self._session = TrainingSession(
            Path(request["artifacts"]),
            form=request["form"],
            checkpoint=Path(checkpoint) if checkpoint else None,
            threads=None,
        )
        # A checkpoint has the optimizer's state and not its learning rate.
        self._session.set_learning_rate(request["learning_rate"])
        self._loss = Loss(request["loss"]["name"], tuple(request["loss"]["class_weights"]))
        self._steps = 0
        self._milliseconds: list[float] = []

    def run(self) -> None:
        """Train every epoch, write what was trained, say what happens."""
        before = self._request["epochs_before"]
        self._evaluate(before)
        for epoch in range(before + 1, before + self._request["epochs"] + 1):
            self._epoch(epoch, before)
            self._check_parameters(epoch)
            self._evaluate(epoch)
            self._save(epoch)
        self._session.export_inference(self._out / INFERENCE, self._request["outputs"])
        self._write_compared()
        # The first step sets up what the others use.
        median = statistics.median(self._milliseconds)
        self._say({"done": {"steps": self._steps, "milliseconds_per_step": median}})

    def _epoch(self, epoch: int, before: int) -> None:
        from olive_build.training.loop import train_epochs

        # Each epoch is begun anew with a seed of its own, so a resumed run shuffles as one would
        # that had never stopped.
        done = train_epochs(
            self._session,
            self._inputs("input"),
            self._data["target"],
            batch_size=self._request["batch_size"],
            epochs=1,
            seed=self._request["seed"] * SEEDS_APART + epoch,
            drop_last=self._request["fixed_batch"],
        )
        epochs = self._request["epochs"]
        for step, milliseconds in _timed(done):
            self._steps += 1
            self._milliseconds.append(milliseconds)
            if not math.isfinite(step.loss):
                raise self._diverged(f"the loss is {step.loss} at step {self._steps}", epoch)
            self._say(
                {
                    "step": self._steps,
                    "steps": step.steps * epochs,
                    "epoch": epoch,
                    "epochs": before + epochs,
                    "loss": step.loss,
                    "milliseconds": milliseconds,
                }
            )

    def _check_parameters(self, epoch: int) -> None:
        """Raise StepError where nothing could be learned from an epoch's checkpoint."""
        import numpy as np

        for name, values in self._session.parameters(trainable=True).items():
            if not np.isfinite(values).all():
                raise self._diverged(f"`{name}` is infinite or NaN after step {self._steps}", epoch)

    def _diverged(self, what: str, epoch: int) -> StepError:
        rate = self._request["learning_rate"]
        return StepError(
            what,
            where=f"epoch {epoch}, with a learning rate of {rate:g}",
            why="parameters have grown beyond what numbers hold, or an example holds no numbers",
            hint=f"lower the learning rate, such as --learning-rate {rate / 10:g}",
        )

    def _evaluate(self, epoch: int) -> None:
        if len(self._data["held_target"]):
            judged = self._judge("held")
            said = {
                "epoch": epoch,
                "loss": judged.loss,
                "accuracy": judged.accuracy,
                "shares": list(judged.shares),
                "equal_error_rate": judged.equal_error_rate,
            }
            self._say({"evaluated": said})

    def _judge(self, part: str) -> Judged:
        fixed = self._request["fixed_batch"]
        return judge(
            self._session,
            self._inputs(part),
            self._data[f"{part}_target"],
            loss=self._loss,
            output=self._request["outputs"].index(self._request["loss_output"]),
            batch=fixed or self._request["batch_size"],
            fixed=fixed is not None,
            margin=self._request["margin"],
        )

    def _save(self, epoch: int) -> None:
        """Write the epoch's checkpoint. Who hears of it removes the last one, when it pleases."""
        self._session.save_checkpoint(self._out / f"{CHECKPOINT}-{epoch}")
        self._say({"saved": {"epoch": epoch}})

    def _write_compared(self) -> None:
        import numpy as np

        outputs = self._judge("compared").outputs
        named: dict[str, Any] = dict(zip(self._request["outputs"], outputs, strict=True))
        np.savez(self._out / COMPARED, **named)

    def _inputs(self, part: str) -> list[Any]:
        return [self._data[f"{part}.{name}"] for name in self._request["inputs"]]


def _timed(done: Iterator[Any]) -> Iterator[tuple[Any, float]]:
    """Yield each step with the milliseconds that it took."""
    while True:
        begun = time.perf_counter()
        step = next(done, None)
        if step is None:
            return
        yield step, (time.perf_counter() - begun) * 1000


def check_checkpoint(path: Path, trainable: Mapping[str, Sequence[int]]) -> None:
    """Raise UsageError unless the checkpoint trains the parameters of these names and shapes.

    The runtime itself blames a graph for it. A file that does not load is left to who loads it for
    training, and says why.
    """
    try:
        state = training_runtime().CheckpointState.load_checkpoint(str(path))
        found = {
            name: tuple(parameter.data.shape)
            for name, parameter in state.parameters
            if parameter.requires_grad
        }
    except RuntimeError:  # damaged, or a nominal one
        return
    problems = differences(found, {name: tuple(shape) for name, shape in trainable.items()})
    if problems:
        more = len(problems) - MOST_TOLD
        problems[MOST_TOLD:] = [f"and {more} more"] if more > 0 else []
        raise UsageError(
            "the checkpoint belongs to another bundle",
            where=str(path),
            why="\n".join(problems),
            hint="give the bundle that it was trained with, or leave --resume away and train this "
            "one anew",
        )


def differences(
    found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """Return a line for each parameter that a checkpoint lacks, has otherwise, or has besides."""
    lines = []
    for name in sorted({*found, *wanted}):
        if name not in found:
            lines.append(f"`{name}` learns in the bundle, and is not in the checkpoint")
        elif name not in wanted:
            lines.append(f"`{name}` learns in the checkpoint, and not in the bundle")
        elif found[name] != wanted[name]:
            shapes = f"{list(found[name])} in the checkpoint and {list(wanted[name])} in the bundle"
            lines.append(f"`{name}` is {shapes}")
    return lines


if __name__ == "__main__":
    main()
