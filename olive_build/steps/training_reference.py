"""Train in PyTorch for a few steps: what the training artifacts are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from olive_build.training.settings import Train

STEPS = "steps.npz"


@dataclass(frozen=True)
class TrainingReference:
    """Write steps.npz, and reference.json and reference.npz. Inputs: source (model folder).

    steps.npz is described in training/steps_file.py. Batches and lengths vary where they are free.
    The reference is of the model before the steps.
    """

    family: str
    shapes: tuple[tuple[str, int], ...]
    train: Train
    steps: int = 20

    kind: ClassVar[str] = "training-reference"
    version: ClassVar[int] = 3
    worker: ClassVar[str] = "torch"
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "tokenizers", "numpy")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.reference import write_reference
        from olive_build.training.torch_model import build
        from olive_build.training.torch_steps import reference_of, take_steps, write_steps

        side = build(inputs["source"], self.family, self.train, dict(self.shapes))
        write_reference(reference_of(side), out)
        write_steps(take_steps(side, self.train, self.steps), out / STEPS)
