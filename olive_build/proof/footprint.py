"""Peak memory of a contestant; each figure comes from a process that only loads and runs it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olive_build.errors import StepError
from olive_build.proof.contestant import Contestant, Process
from olive_build.proof.latency import Patience

# Memory hardly varies between runs: three show how much.
RUNS = 3


def measure_memory(
    contestant: Contestant,
    texts: Mapping[int, str],
    *,
    batch: int = 1,
    log: Path | None = None,
    patience: Patience | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each text: megabytes (10^6 bytes) above a process without the model.

    `texts` maps a length in tokens to a text of that length, given `batch` times. A file has a
    process for each of its runs; PyTorch, which starts slowly and decides nothing, has one, given
    the shorter texts first. When `patience` is over no run is repeated, which is told.
    A process has imported the libraries before memory is counted; then the model is loaded and run
    on one thread.
    `low` and `high` are the least and the most of all runs. `counted` says how: `from zero` where
    the kernel's peak can be reset, else `since start`, which may miss what is smaller than a peak
    while importing. What the process prints goes to the file `log`. Raises StepError where the
    system does not tell.
    """
    rows = []
    setups = [
        {"do": "setup", "threads": 1, "text": texts[tokens], "tokens": tokens, "batch": batch}
        for tokens in sorted(texts)
    ]
    if contestant.kind.startswith("pytorch"):
        found = [[answer] for answer in _peaks(contestant, setups, log)]
    else:
        found = _in_rounds(contestant, setups, log, patience or Patience())
    for tokens, answers in zip(sorted(texts), found, strict=True):
        values = [(a["peak_bytes"] - a["baseline_bytes"]) / 1e6 for a in answers]
        rows.append(
            {
                "tokens": tokens,
                "median": round(statistics.median(values), 2),
                "low": round(min(values), 2),
                "high": round(max(values), 2),
                "runs": len(answers),
                "process": round(max(a["peak_bytes"] for a in answers) / 1e6, 2),
                "counted": "from zero" if answers[0]["reset"] else "since start",
            }
        )
    return rows


def _in_rounds(
    contestant: Contestant, setups: Sequence[dict[str, Any]], log: Path | None, patience: Patience
) -> list[list[dict[str, Any]]]:
    """Return the answers of RUNS processes for each setup; every setup has one."""
    found: list[list[dict[str, Any]]] = [[] for _ in setups]
    for done in range(RUNS):
        for answers, setup in zip(found, setups, strict=True):
            if done and patience.over:
                runs = sum(map(len, found))
                patience.tell(f"memory: {runs} runs, not {RUNS * len(setups)}, as time is up")
                return found
            answers.append(_peaks(contestant, [setup], log)[0])
    return found


def _peaks(
    contestant: Contestant, setups: Sequence[dict[str, Any]], log: Path | None
) -> list[dict[str, Any]]:
    """Return the peak memory of one process after each setup."""
    process, answers = Process(contestant, contestant.command, log), []
    try:
        for setup in setups:
            process.ask(setup)
            answers.append(process.ask({"do": "memory"}))
    finally:
        process.close()
    if any(item["peak_bytes"] is None or item["baseline_bytes"] is None for item in answers):
        raise StepError(
            f"the memory of {contestant.name} cannot be measured",
            why="this system does not say how much a process uses",
            hint="write `verify: {timing: false}`, or build on Linux or macOS",
        )
    return answers
