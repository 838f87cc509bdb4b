"""Make the files that a device trains with from a prepared graph."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.training.settings import Train

TRAINING_JSON = "training.json"


@dataclass(frozen=True)
class TrainingArtifacts(Step):
    """Write training, eval and optimizer model, checkpoints, model.onnx and training.json.

    model.onnx is what is left for inference. Inputs: model (a prepared model.onnx and its
    training.json). `formats` may hold "ort", which adds the three models as .ort and
    required_operators.config; `client_rate` is the learning rate that the target's client steps
    with whatever the recipe says, None where it can be set. Raises StepError when onnxruntime
    cannot build one of them, or cannot load what it built.
    """

    train: Train
    formats: tuple[str, ...]
    client_rate: float | None = None

    worker = "training"
    stage = "compose"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.training.artifacts import make_artifacts

        folder = inputs["model"]
        described = json.loads((folder / TRAINING_JSON).read_text(encoding="utf-8"))
        scale = self.train.optimizer.lr / self.client_rate if self.client_rate else 1.0
        make_artifacts(folder / "model.onnx", described, self.train, self.formats, out, scale)
        shutil.copy(folder / TRAINING_JSON, out / TRAINING_JSON)
