"""Measure how much memory a file, or the model in PyTorch, takes at its peak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step, write_json
from olive_build.proof.candidate import Several

MEMORY = "memory.json"


@dataclass(frozen=True)
class MeasureFootprint(Step):
    """Write memory.json. Inputs: source (model folder), and model unless PyTorch is measured.

    `takes` is what the candidate is given, `text` or `tokens`. Memory depends on which kernels a
    processor has.
    """

    sample: str
    torch_side: str
    several: Several | None
    takes: str
    tokens: tuple[int, ...]

    worker = "onnxruntime"
    stage = "prove"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.candidate import Candidate, candidate_for
        from olive_build.proof.footprint import measure_memory
        from olive_build.steps.model_check import MODEL

        sample = rooms.look_up(self.sample)
        if self.several:
            candidate = self.several.candidate("this file", inputs, "model", MODEL, self.sample)
        elif "model" in inputs:
            candidate = candidate_for("this file", inputs["model"] / MODEL, self.sample)
        else:
            kind = f"pytorch-{self.takes}"
            candidate = Candidate("pytorch", kind, str(inputs["source"]), self.torch_side)
        rows = measure_memory(
            candidate,
            {count: sample.text_of(inputs["source"], count) for count in self.tokens},
        )
        write_json(out / MEMORY, rows)
