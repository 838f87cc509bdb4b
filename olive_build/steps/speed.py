"""Time a candidate of a search against the fp32 graph, as briefly as its purpose allows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step

SPEED = "speed.json"
PAIRS = 2


@dataclass(frozen=True)
class MeasureSpeed(Step):
    """Write speed.json: rows as in latency.json, on one thread, of graphs that take tensors.

    Each size has a row for each of two pairs of processes: where a process's memory comes to lie
    changes its speed by some percent, and only another process tells. Inputs: model, source (model
    folder), maybe baseline (the fp32 graph). Without a baseline the model is timed against PyTorch
    eager, which `takes` what the graph is given.
    """

    sample: str
    torch_side: str
    takes: str
    sizes: tuple[int, ...]

    worker = "onnxruntime"
    measures = True
    exclusive = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.contestant import Contestant, contestant_for
        from olive_build.proof.latency import compare
        from olive_build.steps.model_check import MODEL

        sample = rooms.look_up(self.sample)
        other = (
            contestant_for("fp32 graph", inputs["baseline"] / MODEL, self.sample)
            if "baseline" in inputs
            else Contestant(
                "pytorch", f"pytorch-{self.takes}", str(inputs["source"]), self.torch_side
            )
        )
        texts = {size: sample.text_of(inputs["source"], size) for size in self.sizes}
        both = [contestant_for("this file", inputs["model"] / MODEL, self.sample), other]
        rows = [row for _ in range(PAIRS) for row in compare(both, texts=texts, threads=(1,))]
        text = json.dumps(rows, indent=1, sort_keys=True)
        (out / SPEED).write_text(text + "\n", encoding="utf-8")
