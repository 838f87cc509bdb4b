"""Train in PyTorch for a few steps: what the training artifacts are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.training.settings import Train

STEPS = "steps.npz"
STORED_STEPS = "training_steps.npz"


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
