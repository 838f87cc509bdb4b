"""What a file takes on this machine, beside the fp32 graph and PyTorch: time and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build import rooms
from olive_build.engine.step import Step, write_json
from olive_build.engine.telling import tell
from olive_build.proof.contestant import Several, TimeLimit
from olive_build.steps.notes import note

if TYPE_CHECKING:
    from olive_build.proof.contestant import Contestant

LATENCY = "latency.json"
LOAD = "load.json"
MEMORY = "memory.json"
SPEED = "speed.json"
PAIRS = 2


@dataclass(frozen=True)
class Measure(Step):
    """What the steps that measure have in common. Inputs: source (model folder), model, baseline.

    `sample` and `torch_side` are the family's modules. `takes` is what the file is given, `text` or
    `tokens`; PyTorch is given the same. The files of a layout of several files are `model.<name>`
    and `baseline.<name>`, beside the graphs around them.
    """

    sample: str
    torch_side: str
    takes: str

    worker = "onnxruntime"
    stage = "prove"
    measures = True

    def texts(self, inputs: Mapping[str, Path], sizes: tuple[int, ...]) -> dict[int, str]:
        """Return a sample of each size."""
        sample = rooms.look_up(self.sample)
        return {size: sample.text_of(inputs["source"], size) for size in sizes}

    def graph(
        self, name: str, inputs: Mapping[str, Path], prefix: str, several: Several | None = None
    ) -> Contestant:
        """Return a file, or the files of a layout of `several`, as a contestant."""
        from olive_build.proof.contestant import contestant_for
        from olive_build.steps.model_check import MODEL

        if several:
            return several.contestant(name, inputs, prefix, MODEL, self.sample)
        return contestant_for(name, inputs[prefix] / MODEL, self.sample)

    def pytorch(self, inputs: Mapping[str, Path]) -> Contestant:
        """Return the model in PyTorch as a contestant."""
        from olive_build.proof.contestant import Contestant

        kind = f"pytorch-{self.takes}"
        return Contestant("pytorch", kind, str(inputs["source"]), self.torch_side)


@dataclass(frozen=True)
class MeasureLatency(Measure):
    """Write latency.json and load.json: a file against the fp32 graph and PyTorch eager.

    `unit` is what `tokens` count. `baseline` is the fp32 graph, left out where the model is that
    graph. Every combination of `tokens` and `threads` is timed. Rounds go on while one of `limits`
    is undecided or an interval is wider than `narrow` of its median; all else ends after `seconds`,
    and what that leaves out is told and noted.
    """

    unit: str
    several: Several | None
    tokens: tuple[int, ...]
    threads: tuple[int, ...]
    limits: tuple[TimeLimit, ...]
    narrow: float | None
    seconds: float

    exclusive = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.latency import Patience, compare_loads, compare_running, started

        patience = Patience(self.seconds, _teller(out))
        tell(
            f"timed in turn with fp32 and PyTorch, {self.seconds:.0f} s at most "
            "unless a gate is open"
        )
        texts = self.texts(inputs, self.tokens)
        contestants = [self.graph("this file", inputs, "model", self.several), self.pytorch(inputs)]
        if any(name.partition(".")[0] == "baseline" for name in inputs):
            contestants.insert(1, self.graph("fp32 graph", inputs, "baseline", self.several))
        with started(contestants) as children:
            rows = compare_running(
                children, texts, self.threads, self.limits, self.narrow, patience
            )
            load = compare_loads(children, self.limits, patience=patience)
        write_json(out / LATENCY, [{**row, "unit": self.unit} for row in rows])
        write_json(out / LOAD, load)


@dataclass(frozen=True)
class MeasureSpeed(Measure):
    """Write speed.json: rows as in latency.json, on one thread, of a candidate of a search.

    Each size has a row for each of two pairs of processes: where a process's memory comes to lie
    changes its speed by some percent, and only another process tells. `baseline` is the fp32 graph;
    without it the model is timed against PyTorch eager.
    """

    sizes: tuple[int, ...]

    stage = ""
    exclusive = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.latency import compare

        two = [self.graph("this file", inputs, "model"), self.pytorch(inputs)]
        if "baseline" in inputs:
            two[1] = self.graph("fp32 graph", inputs, "baseline")
        texts = self.texts(inputs, self.sizes)
        rows = [row for _ in range(PAIRS) for row in compare(two, texts=texts, threads=(1,))]
        write_json(out / SPEED, rows)


@dataclass(frozen=True)
class MeasureFootprint(Measure):
    """Write memory.json: the peak of the model's memory, or of PyTorch's where `model` is left out.

    Memory depends on which kernels a processor has. Runs are not repeated after `seconds`; with
    None, for memory that has a limit, all are.
    """

    several: Several | None
    tokens: tuple[int, ...]
    seconds: float | None

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.footprint import measure_memory
        from olive_build.proof.latency import Patience

        seconds = math.inf if self.seconds is None else self.seconds
        patience = Patience(seconds, _teller(out))
        if self.several or "model" in inputs:
            contestant = self.graph("this file", inputs, "model", self.several)
        else:
            contestant = self.pytorch(inputs)
        texts = self.texts(inputs, self.tokens)
        write_json(out / MEMORY, measure_memory(contestant, texts, patience=patience))


def _teller(out: Path) -> Callable[[str], None]:
    """Return what tells a line now, and in every later build that finds the step done."""

    def told(text: str) -> None:
        tell(text)
        note(out, text)

    return told
