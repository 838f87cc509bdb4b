"""Measure what a training step costs on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step, write_json
from olive_build.training.settings import Train

TRAINING_COST = "training_cost.json"
ALL_CORES = 0


@dataclass(frozen=True)
class TrainingCost(Step):
    """Write training_cost.json: milliseconds of a step and memory, for one thread.

    Inputs: artifacts, and reference (its first batch is trained on). `all_cores` in it says the
    same for as many threads as there are cores.
    """

    train: Train

    worker = "training"
    stage = "prove"
    measures = True
    exclusive = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        import numpy as np

        from olive_build.training.cost import measure_cost
        from olive_build.training.steps_file import STEPS, RecordedSteps

        artifacts = inputs["artifacts"]
        described = json.loads((artifacts / "training.json").read_text(encoding="utf-8"))
        values, target = RecordedSteps(inputs["reference"] / STEPS, described).batch(0)
        with tempfile.TemporaryDirectory() as scratch:
            batch = Path(scratch) / "batch.npz"
            # Positional: names of a model's inputs could be those of np.savez's own arguments.
            np.savez(batch, *values, target)
            cost = measure_cost(artifacts, batch, 1)
            cost["all_cores"] = measure_cost(artifacts, batch, ALL_CORES)
        write_json(out / TRAINING_COST, cost)
