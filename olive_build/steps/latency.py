"""Time one shipped file against the fp32 graph that it came from and against PyTorch eager."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

LATENCY = "latency.json"


@dataclass(frozen=True)
class MeasureLatency:
    """Write latency.json. Inputs: model, baseline (the fp32 graph), source (model folder).

    `takes` is what the file is given, `text` or `tokens`; PyTorch is given the same. Every
    combination of `tokens` and `threads` is timed; the step runs alone on the machine whose
    fingerprint is `machine`.
    """

    family: str
    takes: str
    tokens: tuple[int, ...]
    threads: tuple[int, ...]
    machine: str

    kind: ClassVar[str] = "latency"
    version: ClassVar[int] = 3
    worker: ClassVar[str] = "onnxruntime"
    tools: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-extensions", "torch")
    exclusive: ClassVar[bool] = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.families import family_module
        from olive_build.proof.latency import Candidate, candidate_for, compare
        from olive_build.steps.model_check import MODEL

        sample = family_module(self.family, "sample")
        rows = compare(
            [
                candidate_for("this file", inputs["model"] / MODEL),
                candidate_for("fp32 graph", inputs["baseline"] / MODEL),
                Candidate("pytorch", f"pytorch-{self.takes}", str(inputs["source"]), self.family),
            ],
            texts={count: sample.text_of(inputs["source"], count) for count in self.tokens},
            threads=self.threads,
        )
        text = json.dumps(rows, indent=2, sort_keys=True)
        (out / LATENCY).write_text(text + "\n", encoding="utf-8")
