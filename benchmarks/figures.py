"""What the benchmarks share: a figure with its goal, a finished process, and how one is timed.

A benchmark that cannot go on raises Failed; `bench.py` counts it as missed and measures the others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET = {"CI": "1", "ORT_DISABLE_TELEMETRY": "1", "OLIVE_DISABLE_TELEMETRY": "1"}
# Pairs of processes that are started anew: what memory one of them got is part of its speed.
PAIRS, THREADS = 3, (1, 2)
# How much of what a failed command printed is repeated, in characters.
SAID = 3000


class Failed(Exception):
    """A command or a measurement did not give what the figures need; the text says why."""


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    what: str
    value: float
    goal: float
    bound: str
    spread: str = ""

    @property
    def holds(self) -> bool:
        return self.value <= self.goal if self.bound == "at most" else self.value >= self.goal


@dataclass(frozen=True)
class Missing:
    """The figures of a part that could not be measured, and why: they count as missed."""

    part: str
    reason: str


@dataclass(frozen=True)
class Run:
    """One finished process: wall seconds and the peak memory of its largest process."""

    seconds: float
    peak_mb: float


def timed(command: Sequence[str], environment: dict[str, str]) -> Run:
    """Run a command to its end and return what it took. Raises Failed with what it said."""
    # A process of its own per run: RUSAGE_CHILDREN only ever grows within one.
    program = (
        "import json,resource,subprocess,sys,time;s=time.perf_counter();"
        "r=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.PIPE,text=True);"
        "t=time.perf_counter()-s;m=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
        "print(json.dumps([r.returncode,t,m,r.stderr[-2000:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        env={**os.environ, **QUIET, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    code, seconds, peak_kib, errors = json.loads(done.stdout)
    if code:
        raise Failed(f"{' '.join(command)} ended with code {code}:\n{errors}")
    return Run(seconds, peak_kib * 1024 / 1e6)


def finished(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run an olive-build call and return what it printed. Raises Failed with what it said."""
    done = subprocess.run(
        cli(*words),
        env=environment_with(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stdout[-SAID:] + done.stderr[-SAID:]
        raise Failed(
            f"olive-build {words[0]} {words[1]} ended with code {done.returncode}:\n{said}"
        )
    return done.stdout


def times_faster(
    model: Path, family: str, pytorch: tuple[str, Path], samples: Mapping[int, str]
) -> dict[tuple[int, int], list[float]]:
    """Return PyTorch's time over the file's by (size, threads), a value for each pair of processes.

    `pytorch` is a kind of contestant (`proof/contestant.py`) and the folder of the model; `samples`
    maps sizes, in the family's unit, to a text of that size.
    """
    from olive_build.families import module_of
    from olive_build.proof.contestant import Contestant, contestant_for
    from olive_build.proof.latency import compare_running, started

    kind, folder = pytorch
    both = [
        contestant_for("this file", model, module_of(family, "sample")),
        Contestant("pytorch", kind, str(folder), module_of(family, "torch_side")),
    ]
    found: dict[tuple[int, int], list[float]] = {}
    for _ in range(PAIRS):
        with started(both, model.with_suffix(".log")) as children:
            rows = compare_running(children, samples, THREADS)
        for row in rows:
            key = (row["tokens"], row["threads"])
            found.setdefault(key, []).append(1 / row["ratio_to"]["pytorch"]["median"])
    return dict(sorted(found.items()))


def spread(values: Sequence[float]) -> str:
    """Return lowest and highest, as text."""
    return f"{min(values):.3g} to {max(values):.3g}"


def cli(*words: str) -> list[str]:
    """Return the command line of an olive-build call."""
    return [str(Path(sys.executable).with_name("olive-build")), *words]


def environment_with(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with telemetry off and `more` on top."""
    return {**os.environ, **QUIET, **more}
