"""Latency of candidates against each other: alternately, each in a process of its own.

Sessions in one process disturb each other, and a shared machine drifts; so each candidate has a
process, the processes take turns within a round, and ratios are taken round by round.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import StepError

ROUNDS = 11
TURN_SECONDS = 0.04


@dataclass(frozen=True)
class Candidate:
    """What is timed: `kind` is onnxruntime (a file), pytorch-text or pytorch-tokens (a folder)."""

    name: str
    kind: str
    path: str
    family: str = ""

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "kind": self.kind, "path": self.path, "family": self.family}


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        return {key: round(value, 4) for key, value in vars(self).items()}


def spread(values: Sequence[float]) -> Spread:
    """Return median, first and third quartile of at least two values."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


class _Child:
    """One candidate's process. It answers one JSON line to each JSON line."""

    def __init__(self, candidate: Candidate) -> None:
        self.name = candidate.name
        command = [sys.executable, "-m", "olive_build.steps.latency_child"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask(candidate.as_json())

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer; StepError when the process failed."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            code = self._process.wait()
            raise StepError(
                f"timing {self.name} failed",
                why=f"its process ended with code {code}",
                hint="the log of the step has its messages",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def compare(
    candidates: Sequence[Candidate], *, texts: Mapping[int, str], threads: Sequence[int]
) -> list[dict[str, Any]]:
    """Time the candidates against the first one, for each text and thread count.

    `texts` maps a length in tokens to a text of that length. Returns one row for each combination:
    milliseconds of every candidate and the ratio of the first candidate's time to each other's,
    as median with quartiles.
    """
    children: list[_Child] = []
    try:
        for candidate in candidates:
            children.append(_Child(candidate))  # noqa: PERF401 - those started must be closed
        return [
            _row(children, length, text, count)
            for count in threads
            for length, text in texts.items()
        ]
    finally:
        for child in children:
            child.close()


def _row(children: list[_Child], length: int, text: str, threads: int) -> dict[str, Any]:
    setup = {"threads": threads, "text": text, "tokens": length}
    for child in children:
        child.ask({"do": "setup", **setup})
    times: dict[str, list[float]] = {child.name: [] for child in children}
    for number in range(ROUNDS):
        # Each round begins with another candidate, so that none always follows the same one.
        turn = number % len(children)
        for child in children[turn:] + children[:turn]:
            answer = child.ask({"do": "time", "seconds": TURN_SECONDS})
            times[child.name].append(answer["milliseconds"])
    first = times[children[0].name]
    return {
        "tokens": length,
        "threads": threads,
        "milliseconds": {name: spread(values).as_json() for name, values in times.items()},
        "ratio_to": {
            name: spread([a / b for a, b in zip(first, values, strict=True)]).as_json()
            for name, values in times.items()
            if name != children[0].name
        },
    }


def candidate_for(name: str, model: Path) -> Candidate:
    """Return the candidate that runs an ONNX or ORT file."""
    return Candidate(name, "onnxruntime", str(model))
