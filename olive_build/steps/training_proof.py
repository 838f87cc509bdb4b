"""Train with the artifacts as PyTorch did, and record how far apart they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.engine.step import Step, write_json
from olive_build.training.settings import Train

TRAINING_PROOF, TRAINED_VALUES = "training_proof.json", "trained.npz"


@dataclass(frozen=True)
class TrainingProof(Step):
    """Write training_proof.json, trained.onnx and trained.npz.

    trained.npz has by name: input.<name>, and the evaluation model's output for them (`expected`)
    and PyTorch's (`pytorch`). Inputs: artifacts, and reference (what PyTorch computed: steps.npz,
    and the steps that the bundle keeps, which `verify` must find as they are here).
    Figures that miss are written like others: gates judge them. `formats` is what the artifacts
    were made for.
    """

    train: Train
    formats: tuple[str, ...]

    worker = "training"
    stage = "prove"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        import numpy as np

        from olive_build.training.losses import chosen_output
        from olive_build.training.proof import prove
        from olive_build.training.steps_file import STEPS, RecordedSteps
        from olive_build.training.stored_check import check_stored, worse

        artifacts = inputs["artifacts"]
        described = json.loads((artifacts / "training.json").read_text(encoding="utf-8"))
        recorded = RecordedSteps(inputs["reference"] / STEPS, described)
        output = chosen_output(self.train.loss, described["outputs"])
        figures = prove(artifacts, recorded, described, self.train.optimizer, output, out)
        record = figures.record
        names = [str(item["name"]) for item in described["inputs"]]
        index = described["outputs"].index(output)
        for found in check_stored(artifacts, inputs["reference"], names, index):
            record = worse(record, found)
        write_json(out / TRAINING_PROOF, record)
        arrays: dict[str, Any] = {"expected": figures.expected, "pytorch": figures.pytorch}
        arrays |= {f"input.{name}": values for name, values in figures.feeds.items()}
        np.savez(out / TRAINED_VALUES, **arrays)
