"""What is measured of the files that a device trains with, against PyTorch and by themselves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.engine.step import Step, write_json
from olive_build.training.settings import Train
from olive_build.training.steps.make import DESCRIPTION

PROOF, TRAINED_VALUES = "training_proof.json", "trained.npz"
INFERENCE, COST, PERSONALISED = "trained_inference.json", "training_cost.json", "personalised.json"
ALL_CORES = 0
FEED = "input."
# So many clips are scored at once where the graph's batch is free.
FREE_BATCH = 32


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
        described = json.loads((artifacts / DESCRIPTION).read_text(encoding="utf-8"))
        recorded = RecordedSteps(inputs["reference"] / STEPS, described)
        output = chosen_output(self.train.loss, described["outputs"])
        figures = prove(artifacts, recorded, described, self.train.optimizer, output, out)
        record = figures.record
        names = [str(item["name"]) for item in described["inputs"]]
        index = described["outputs"].index(output)
        for found in check_stored(artifacts, inputs["reference"], names, index):
            record = worse(record, found)
        write_json(out / PROOF, record)
        arrays: dict[str, Any] = {"expected": figures.expected, "pytorch": figures.pytorch}
        arrays |= {f"input.{name}": values for name, values in figures.feeds.items()}
        np.savez(out / TRAINED_VALUES, **arrays)


@dataclass(frozen=True)
class TrainedInference(Step):
    """Write trained_inference.json: how far its output is from others for the same inputs.

    `difference` is the largest from the evaluation model's, `pytorch_difference` from PyTorch's
    after the same steps, relative to PyTorch's largest value where that is above 1. Inputs: proof
    (trained.onnx and trained.npz). Infinity says that shapes differ, or that a value is not finite.
    """

    worker = "onnxruntime"
    stage = "prove"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        import numpy as np

        from olive_build.clients.onnxruntime_client import open_session, run_named
        from olive_build.training.differences import largest_difference, outputs_difference

        session = open_session(inputs["proof"] / "trained.onnx")
        with np.load(inputs["proof"] / "trained.npz", allow_pickle=False) as arrays:
            feeds = {
                name.removeprefix(FEED): arrays[name]
                for name in arrays.files
                if name.startswith(FEED)
            }
            expected, pytorch = arrays["expected"], arrays["pytorch"]
        (actual,) = run_named(session, feeds)
        figures = {
            "difference": largest_difference(actual, expected),
            "pytorch_difference": outputs_difference(actual, pytorch),
        }
        write_json(out / INFERENCE, figures)


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
        described = json.loads((artifacts / DESCRIPTION).read_text(encoding="utf-8"))
        values, target = RecordedSteps(inputs["reference"] / STEPS, described).batch(0)
        with tempfile.TemporaryDirectory() as scratch:
            batch = Path(scratch) / "batch.npz"
            # Positional: names of a model's inputs could be those of np.savez's own arguments.
            np.savez(batch, *values, target)
            cost = measure_cost(artifacts, batch, 1)
            cost["all_cores"] = measure_cost(artifacts, batch, ALL_CORES)
        write_json(out / COST, cost)


@dataclass(frozen=True)
class Personalise(Step):
    """Write personalised.json: equal error rates. Inputs: artifacts, trials (a file of clips).

    `epochs` is None for the recipe's own; where it is a number, one owner stands for all. Raises
    StepError for trials that prove nothing, of which there are too few, or that give no numbers.
    An owner's clip is accepted where its score is above `margin`. It measures: sums differ between
    processors.
    """

    trials: str
    train: Train
    epochs: int | None
    margin: float

    worker = "training"
    stage = "prove"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.training.personalise import Clips, personalise

        artifacts = inputs["artifacts"]
        described = json.loads((artifacts / DESCRIPTION).read_text(encoding="utf-8"))
        trials = rooms.look_up(self.trials).read_trials(inputs["trials"], described["data"])
        batch = described["inputs"][0]["axes"][0]
        fixed = isinstance(batch, int)
        clips = Clips(
            trials.inputs, trials.speakers, trials.roles, batch if fixed else FREE_BATCH, fixed
        )
        owners = clips.owners if self.epochs is None else clips.owners[:1]
        epochs = self.train.epochs if self.epochs is None else self.epochs
        found = personalise(
            artifacts, self.train, clips, epochs=epochs, owners=owners, margin=self.margin
        )
        write_json(out / PERSONALISED, found)
