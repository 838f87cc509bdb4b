"""Time one shipped file against the fp32 graph that it came from and against PyTorch eager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step, write_json
from olive_build.engine.telling import tell
from olive_build.proof.candidate import Several
from olive_build.proof.limit import Limit
from olive_build.steps.notes import note

LATENCY = "latency.json"
LOAD = "load.json"


@dataclass(frozen=True)
class MeasureLatency(Step):
    """Write latency.json and load.json. Inputs: model, source (model folder), maybe baseline.

    `sample` and `torch_side` are the family's modules, `unit` is what `tokens` count. `baseline`
    is the fp32 graph, left out where the model is that graph. The files of a layout of `several`
    are `model.<name>` and `baseline.<name>`, beside the graphs around them. `takes` is what the
    file is given, `text` or `tokens`; PyTorch is given the same. Every combination of `tokens` and
    `threads` is timed. Rounds go on while one of `limits` is undecided or an interval is wider than
    `narrow` of its median; all else ends after `seconds`, and what that leaves out is told and
    noted.
    """

    sample: str
    torch_side: str
    unit: str
    several: Several | None
    takes: str
    tokens: tuple[int, ...]
    threads: tuple[int, ...]
    limits: tuple[Limit, ...]
    narrow: float | None
    seconds: float

    worker = "onnxruntime"
    stage = "prove"
    measures = True
    exclusive = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.candidate import Candidate, candidate_for
        from olive_build.proof.latency import Patience, compare_loads, compare_running, started
        from olive_build.steps.model_check import MODEL

        def told(text: str) -> None:
            tell(text)
            note(out, text)

        patience = Patience(self.seconds, told)
        tell(
            f"timed in turn with fp32 and PyTorch, {self.seconds:.0f} s at most "
            "unless a gate is open"
        )
        sample = rooms.look_up(self.sample)
        texts = {count: sample.text_of(inputs["source"], count) for count in self.tokens}

        def run(name: str, prefix: str) -> Candidate:
            if self.several:
                return self.several.candidate(name, inputs, prefix, MODEL, self.sample)
            return candidate_for(name, inputs[prefix] / MODEL, self.sample)

        candidates = [
            run("this file", "model"),
            Candidate("pytorch", f"pytorch-{self.takes}", str(inputs["source"]), self.torch_side),
        ]
        if any(name.partition(".")[0] == "baseline" for name in inputs):
            candidates.insert(1, run("fp32 graph", "baseline"))
        with started(candidates) as children:
            rows = compare_running(
                children, texts, self.threads, self.limits, self.narrow, patience
            )
            rows = [{**row, "unit": self.unit} for row in rows]
            load = compare_loads(children, self.limits, patience=patience)
        for name, figures in ((LATENCY, rows), (LOAD, load)):
            write_json(out / name, figures)
