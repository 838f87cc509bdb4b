"""Hold a recipe's `train` against the model, before anything is planned of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.training.settings import Train

CHECKED = "checked.json"


@dataclass(frozen=True)
class CheckTraining(Step):
    """Write checked.json: how many parameters learn and stay. Inputs: source (model folder).

    Raises StepError where a name or pattern of the recipe does not fit the model, and where a
    parameter that is to learn has no effect on the loss.
    """

    training: str
    shapes: tuple[tuple[str, int], ...]
    train: Train

    worker = "torch"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.training.torch_model import build

        side = build(inputs["source"], self.training, self.train, dict(self.shapes))
        found = {"trainable": len(side.trainable), "frozen": len(side.frozen)}
        (out / CHECKED).write_text(json.dumps(found, sort_keys=True) + "\n", encoding="utf-8")
