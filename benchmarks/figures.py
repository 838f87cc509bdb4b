"""What the benchmarks share: a figure with its goal, a finished process, and how one is timed."""

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
class Run:
    """One finished process: wall seconds and the peak memory of its largest process."""

    seconds: float
    peak_mb: float


def timed(command: Sequence[str], environment: dict[str, str]) -> Run:
    """Run a command to its end and return what it took. Raises when it fails."""
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
        raise SystemExit(f"{' '.join(command)} ended with code {code}:\n{errors}")
    return Run(seconds, peak_kib * 1024 / 1e6)


def spread(values: Sequence[float]) -> str:
    """Return lowest and highest, as text."""
    return f"{min(values):.3g} to {max(values):.3g}"


def cli(*words: str) -> list[str]:
    """Return the command line of an olive-build call."""
    return [str(Path(sys.executable).with_name("olive-build")), *words]


def environment_with(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with telemetry off and `more` on top."""
    return {**os.environ, **QUIET, **more}
