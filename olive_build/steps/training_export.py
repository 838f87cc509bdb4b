"""PyTorch model with a recipe's head, adapters and frozen layers -> the graph to be trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step, write_json
from olive_build.training.settings import Train

DESCRIPTION = "training.json"


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
        import onnx

        from olive_build.training.torch_export import MODEL, check, description, export
        from olive_build.training.torch_model import build

        folder, shapes = inputs["source"], dict(self.shapes)
        side = build(folder, self.training, self.train, shapes)
        model = export(side, self.opset)
        described = description(side, model, self.train, json.loads(self.data))
        onnx.save(model, str(out / MODEL))
        del model  # Its weights are in the file, which the check loads.
        check(side, out / MODEL)
        write_json(out / DESCRIPTION, described)
