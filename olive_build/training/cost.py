"""What a training step costs, in a process of its own: `run.py olive_build.training.cost ARGS`.

Arguments: the artifacts' folder, a file with one batch, threads (0 for all cores). One JSON object
is printed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from olive_build.errors import StepError
from olive_build.processes import follow_parent

WARM_UP, STEPS = 3, 20
# Long steps: as many as fit into this time, but no fewer than the least.
SECONDS, LEAST = 20.0, 10
LAUNCHER = Path(__file__).parents[1] / "toolchains" / "run.py"


def measure_cost(artifacts: Path, batch: Path, threads: int) -> dict[str, Any]:
    """Return milliseconds a step and memory of a new process of this environment.

    `threads` 0 means all cores. Raises StepError when the process fails.
    """
    arguments = [str(artifacts), str(batch), str(threads)]
    command = [sys.executable, "-P", str(LAUNCHER), "olive_build.training.cost", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(
            "the cost of a training step cannot be measured",
            where=str(artifacts),
            why=_why(done.stderr) or f"its process ended with status {done.returncode}",
        )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _why(printed: str) -> str:
    """Return an error that was rendered, or the last line, where a traceback has its reason."""
    lines = [line for line in printed.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    return "\n".join(lines[starts[-1] :] if starts else lines[-1:])


def measure_here(artifacts: Path, batch: Path, threads: int) -> dict[str, Any]:
    """Train on one batch again and again in this process; return what it took.

    `milliseconds_per_step` is the median after a warm-up, `baseline_bytes` the resident memory
    once everything is imported, `peak_bytes` the most from then on, loading included.
    """
    import numpy as np

    from olive_build.engine.memory import high_water, reset_high_water, resident
    from olive_build.training.runtime import training_runtime
    from olive_build.training.session import TrainingSession

    training_runtime()
    with np.load(batch, allow_pickle=False) as arrays:
        values = [arrays[name] for name in arrays.files]
    baseline = resident()
    reset_high_water()
    session = TrainingSession(artifacts, threads=threads or None)
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < WARM_UP + LEAST or (
        len(times) < WARM_UP + STEPS and time.perf_counter() - begun < SECONDS
    ):
        start = time.perf_counter()
        session.step(values[:-1], values[-1])
        times.append((time.perf_counter() - start) * 1e3)
    measured = times[WARM_UP:]
    return {
        "milliseconds_per_step": statistics.median(measured),
        "steps": len(measured),
        "peak_bytes": high_water(),
        "baseline_bytes": baseline,
        "threads": threads or (os.cpu_count() or 1),
    }


def main() -> None:
    """Measure as the arguments say; an error's lines go to standard error."""
    follow_parent()
    artifacts, batch, threads = sys.argv[1:]
    try:
        figures = measure_here(Path(artifacts), Path(batch), int(threads))
    except StepError as error:
        sys.exit(error.render())
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
