"""Hold a recipe's `train` against the model, before anything is planned of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from olive_build.training.settings import Train

CHECKED = "checked.json"


@dataclass(frozen=True)
class CheckTraining:
    """Write checked.json: how many parameters learn and stay. Inputs: source (model folder).

    Raises StepError where a name or pattern of the recipe does not fit the model, and where a
    parameter that is to learn has no effect on the loss.
    """

    family: str
    shapes: tuple[tuple[str, int], ...]
    train: Train

    kind: ClassVar[str] = "check-training"
    version: ClassVar[int] = 1
    worker: ClassVar[str] = "torch"
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "tokenizers", "numpy")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.training.torch_model import build

        side = build(inputs["source"], self.family, self.train, dict(self.shapes))
        found = {"trainable": len(side.trainable), "frozen": len(side.frozen)}
        (out / CHECKED).write_text(json.dumps(found, sort_keys=True) + "\n", encoding="utf-8")
