"""Contestants side by side: latency, throughput, load time and memory at several sizes.

Each contestant has a process of its own, and all take a turn in each round, so that other work of
the machine disturbs all of them alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import StepError
from olive_build.proof.contestant import Contestant, Process
from olive_build.proof.footprint import measure_memory
from olive_build.proof.interval import LOOKS
from olive_build.proof.latency import compare_loads, figures, in_turn, started

# Below this many calls the slowest of a hundred was not seen.
CALLS_FOR_P99 = 100


@dataclass(frozen=True)
class Shape:
    """How many inputs a contestant gets at once, and how many threads it runs on."""

    tokens: int
    batch: int
    threads: int
    items: int


def benchmark(
    contestants: Sequence[Contestant],
    texts: Mapping[int, str],
    shapes: Sequence[Shape],
    *,
    seconds: float,
    say: Callable[[str], None],
    unit: str,
    log: Path,
) -> dict[str, Any]:
    """Measure the contestants; ratios are the first one's time to each other's.

    `texts` maps a size, counted in `unit`, to a text of that size; `seconds` are spent on each
    contestant and shape. Returns `rows`, a map for each shape; `load`, one such map; and `memory`,
    megabytes by contestant at the largest shape, None where its process cannot tell. What the
    processes print goes to the file `log`.
    """
    with started(contestants, log) as children:
        rows = []
        for shape in shapes:
            say(f"{shape.tokens} {unit}, batch {shape.batch}, threads {shape.threads}")
            rows.append(_row(children, shape, texts[shape.tokens], seconds))
        say("load time")
        load = compare_loads(children)
    say("memory")
    longest, largest = max(texts), max(shape.batch for shape in shapes)
    return {
        "rows": rows,
        "load": load,
        "memory": {
            contestant.name: _memory(contestant, {longest: texts[longest]}, largest, log)
            for contestant in contestants
        },
    }


def _row(children: Sequence[Process], shape: Shape, text: str, seconds: float) -> dict[str, Any]:
    setup = {"do": "setup", "text": text, **vars(shape)}
    for child in children:
        child.ask(setup)
    calls: dict[str, list[float]] = {child.name: [] for child in children}

    def turn(child: Process) -> float:
        answer = child.ask({"do": "time", "seconds": seconds / LOOKS[0], "samples": True})
        calls[child.name] += answer["samples"]
        return float(answer["milliseconds"])

    times = in_turn(children, turn, (), None)
    measured = {name: percentiles(values, shape.items) for name, values in calls.items()}
    return {**vars(shape), **figures(times), "candidates": measured}


def percentiles(milliseconds: Sequence[float], items: int) -> dict[str, Any]:
    """Return p50, p90 and p99 of calls, p99 None where there are too few, and items a second."""
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    count = len(milliseconds)
    return {
        "calls": count,
        "p50": round(cuts[49], 4),
        "p90": round(cuts[89], 4),
        "p99": round(cuts[98], 4) if count >= CALLS_FOR_P99 else None,
        "items_per_second": round(items * count / sum(milliseconds) * 1e3, 2),
    }


def _memory(
    contestant: Contestant, texts: Mapping[int, str], batch: int, log: Path
) -> dict[str, Any] | None:
    try:
        return measure_memory(contestant, texts, batch=batch, log=log)[0]
    except (StepError, KeyError):
        return None
