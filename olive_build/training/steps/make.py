"""What a device trains with, out of the model's folder: its graphs, and PyTorch's own steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step, write_json
from olive_build.training.settings import Train

DESCRIPTION = "training.json"
CHECKED = "checked.json"
STEPS, STORED_STEPS = "steps.npz", "training_steps.npz"


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


@dataclass(frozen=True)
class TrainingExport(Step):
    """Write model.onnx and training.json. Inputs: source (model folder).

    Initializers have the names of the PyTorch model's parameters. `shapes` are the axes that
    are fixed, and `data` is as JSON what examples are read as. Raises StepError where a name of
    the recipe does not fit the model, where the conversion fails, or where an output differs
    from PyTorch's by more than 1e-4.
    """

    training: str
    opset: int
    shapes: tuple[tuple[str, int], ...]
    train: Train
    data: str

    worker = "torch"
    stage = "export"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.onnx_files import models
        from olive_build.training.torch_export import MODEL, check, description, export
        from olive_build.training.torch_model import build

        folder, shapes = inputs["source"], dict(self.shapes)
        side = build(folder, self.training, self.train, shapes)
        model = export(side, self.opset)
        described = description(side, model, self.train, json.loads(self.data))
        models.write(model, out / MODEL)
        del model  # Its weights are in the file, which the check loads.
        check(side, out / MODEL)
        write_json(out / DESCRIPTION, described)


@dataclass(frozen=True)
class TrainingReference(Step):
    """Write steps.npz, training_steps.npz, reference.json and reference.npz.

    Inputs: source (model folder). steps.npz is described in training/steps_file.py, and the small
    file that a bundle holds in training/stored_steps.py. Batches and lengths vary where they are
    free. The reference is of the model before the steps.
    """

    training: str
    shapes: tuple[tuple[str, int], ...]
    train: Train
    steps: int = 20

    worker = "torch"
    stage = "export"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.reference import write_reference
        from olive_build.training.torch_model import build
        from olive_build.training.torch_steps import reference_of, take_steps, write_steps
        from olive_build.training.torch_stored_steps import stored_steps

        side = build(inputs["source"], self.training, self.train, dict(self.shapes))
        reference = reference_of(side)
        write_reference(reference, out)
        write_steps(stored_steps(side, self.train, reference.feeds), out / STORED_STEPS)
        write_steps(take_steps(side, self.train, self.steps), out / STEPS)


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
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        scale = self.train.optimizer.lr / self.client_rate if self.client_rate else 1.0
        make_artifacts(folder / "model.onnx", described, self.train, self.formats, out, scale)
        shutil.copy(folder / DESCRIPTION, out / DESCRIPTION)
