"""Peak memory of a candidate: each figure from a process of its own that loads and runs it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import StepError
from olive_build.proof.candidate import Candidate, Process

# Memory hardly varies between runs: three show how much, and PyTorch's, which start slowly and
# decide nothing, are one.
RUNS = 3
PYTORCH_RUNS = 1


def measure_memory(
    candidate: Candidate,
    texts: Mapping[int, str],
    *,
    batch: int = 1,
    log: Path | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each text: megabytes (10^6 bytes) above a process without the model.

    `texts` maps a length in tokens to a text of that length, given `batch` times. The process has
    imported the libraries before memory is counted; then the model is loaded and run on one thread.
    `low` and `high` are the least and the most of all runs. `counted` says how: `from zero` where
    the kernel's peak can be reset, else `since start`, which may miss what is smaller than a peak
    while importing. What the process prints goes to the file `log`. Raises StepError where the
    system does not tell.
    """
    runs = PYTORCH_RUNS if candidate.kind.startswith("pytorch") else RUNS
    rows = []
    for tokens, text in texts.items():
        setup = {"do": "setup", "threads": 1, "text": text, "tokens": tokens}
        answers = [_once(candidate, {**setup, "batch": batch}, log) for _ in range(runs)]
        values = [(a["peak_bytes"] - a["baseline_bytes"]) / 1e6 for a in answers]
        rows.append(
            {
                "tokens": tokens,
                "median": round(statistics.median(values), 2),
                "low": round(min(values), 2),
                "high": round(max(values), 2),
                "runs": runs,
                "process": round(max(a["peak_bytes"] for a in answers) / 1e6, 2),
                "counted": "from zero" if answers[0]["reset"] else "since start",
            }
        )
    return rows


def _once(candidate: Candidate, setup: dict[str, Any], log: Path | None) -> dict[str, Any]:
    process = Process(candidate, candidate.command, log)
    try:
        process.ask(setup)
        answer = process.ask({"do": "memory"})
    finally:
        process.close()
    if answer["peak_bytes"] is None or answer["baseline_bytes"] is None:
        raise StepError(
            f"the memory of {candidate.name} cannot be measured",
            why="this system does not say how much a process uses",
            hint="write `verify: {timing: false}`, or build on Linux or macOS",
        )
    return answer
