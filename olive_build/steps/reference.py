"""Run PyTorch on the proof's data: what every variant of every target is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.engine.step import Step


@dataclass(frozen=True)
class Reference(Step):
    """Write reference.json and reference.npz. Inputs: source (model folder), data (a file).

    `torch_side` is the family's module, which says what the data holds. Texts are cut at
    `sequence_length` where the target's graphs have that fixed length; `options` are what a
    recipe says to this family alone. Raises StepError naming the line or entry of bad data.
    """

    torch_side: str
    sequence_length: int | None = None
    options: tuple[tuple[str, str], ...] = ()

    worker = "torch"
    stage = "export"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        import torch

        from olive_build.proof.reference import write_reference
        from olive_build.steps.samples import sample_file

        # One thread: the sums are then the same whatever number of cores the machine has.
        torch.set_num_threads(1)
        side = rooms.look_up(self.torch_side)
        more: dict[str, Any] = dict(self.options)
        if self.sequence_length:
            more["sequence_length"] = self.sequence_length
        data = sample_file(inputs["data"])
        write_reference(side.reference(inputs["source"], data, **more), out)
