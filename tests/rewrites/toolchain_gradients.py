"""Asks the training toolchain for gradients, and says how far they are from PyTorch's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("gradients_in_toolchain.py")
# PyTorch's and onnxruntime's sums are of another order.
RELATIVE = 1e-4


@dataclass
class Trial:
    """A graph, what of it is trained, its feeds, and what PyTorch says of it."""

    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    loss: float
    kind: str = "MSELoss"


@dataclass
class Outcome:
    """What the toolchain made of a trial: an error's text, a signal's number, or figures."""

    failed: str = ""
    differences: dict[str, float] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether loss and all gradients are PyTorch's."""
        return not self.failed and all(d < RELATIVE for d in self.differences.values())


def outcomes(
    python: Path, trials: Mapping[str, Trial], folder: Path, *, alone: Sequence[str] = ()
) -> dict[str, Outcome]:
    """Run all trials in one process, those named in `alone` in one each: they may crash it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, trial in trials.items():
        onnx.save(trial.model, str(folder / f"{name}.onnx"))
        np.savez(folder / f"{name}.npz", **trial.feeds)
        told = {"trainable": list(trial.expected), "loss": trial.kind}
        (folder / f"{name}.json").write_text(json.dumps(told))
    together = [name for name in trials if name not in alone]
    codes = {}
    for group in (together, *([name] for name in alone)):
        if group:
            command = [python, "-P", SCRIPT, ROOT, folder, *group]
            environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run(
                command, capture_output=True, check=False, env=environment, text=True
            )
            # A signal is the runtime's; anything else that is not 0 is this test's own fault.
            assert done.returncode <= 0, done.stderr
            codes |= dict.fromkeys(group, done.returncode)
    return {name: _outcome(folder, name, trials[name], codes[name]) for name in trials}


def _outcome(folder: Path, name: str, trial: Trial, code: int) -> Outcome:
    failed, out = folder / f"{name}.failed", folder / f"{name}.out.npz"
    if failed.exists():
        return Outcome(failed.read_text())
    if not out.exists():
        return Outcome(f"the process ended with {code}")
    with np.load(out) as found:
        return Outcome(
            differences={
                "loss": abs(float(found["loss"].reshape(-1)[0]) - trial.loss) / abs(trial.loss),
                **{one: difference(found[one], value) for one, value in trial.expected.items()},
            }
        )


def difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the distance relative to the length of what is expected; absolute where that is 0."""
    if actual.shape != expected.shape:
        return float("inf")
    length = float(np.linalg.norm(expected))
    distance = float(np.linalg.norm(actual.astype(np.float64) - expected))
    return distance / length if length > 1e-6 else distance
