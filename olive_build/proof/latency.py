"""Latency of candidates against each other: alternately, each in a process of its own.

Sessions in one process disturb each other, and a shared machine drifts; so each candidate has a
process, the processes take turns within a round, and ratios are taken round by round. Where a limit
lies inside the interval of a median, rounds go on, up to four times as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from olive_build.proof.candidate import Candidate, Process
from olive_build.proof.interval import LOOKS, NOISY, Spread, side, spread
from olive_build.proof.limit import Limit

TURN_SECONDS = 0.04
Times = dict[str, list[float]]


def compare(
    candidates: Sequence[Candidate],
    *,
    texts: Mapping[int, str],
    threads: Sequence[int],
    limits: Sequence[Limit] = (),
    narrow: float | None = None,
) -> list[dict[str, Any]]:
    """Time the candidates against the first one, for each text and thread count.

    `texts` maps a length in tokens to a text of that length. Returns one row for each combination:
    milliseconds of every candidate and the ratio of the first candidate's time to each other's,
    as median with quartiles and interval. Rounds go on while one of `limits` is undecided, or an
    interval is wider than the share `narrow` of its median.
    """
    with started(candidates) as children:
        return compare_running(children, texts, threads, limits, narrow)


@contextmanager
def started(candidates: Sequence[Candidate], log: Path | None = None) -> Iterator[list[Process]]:
    """Start a process for each candidate, which prints to `log`; end all of them on leaving."""
    children: list[Process] = []
    try:
        for candidate in candidates:
            # Not at once: those that were started must be closed.
            children.append(Process(candidate, candidate.command, log))  # noqa: PERF401
        yield children
    finally:
        for child in children:
            child.close()


def compare_running(
    children: Sequence[Process],
    texts: Mapping[int, str],
    threads: Sequence[int],
    limits: Sequence[Limit] = (),
    narrow: float | None = None,
) -> list[dict[str, Any]]:
    """Do what `compare` does, with processes that run already."""
    return [
        _row(
            children,
            {"threads": count, "text": text, "tokens": length},
            [
                limit
                for limit in limits
                if limit.what == "latency"
                and limit.tokens in (None, length)
                and limit.threads in (None, count)
            ],
            narrow,
        )
        for count in threads
        for length, text in texts.items()
    ]


def _row(
    children: Sequence[Process],
    setup: dict[str, Any],
    limits: Sequence[Limit],
    narrow: float | None,
) -> dict[str, Any]:
    for child in children:
        child.ask({"do": "setup", **setup})

    def turn(child: Process) -> float:
        return child.milliseconds({"do": "time", "seconds": TURN_SECONDS})

    times = in_turn(children, turn, limits, narrow)
    return {"tokens": setup["tokens"], "threads": setup["threads"], **figures(times)}


def compare_loads(
    children: Sequence[Process], limits: Sequence[Limit] = (), threads: int = 1
) -> dict[str, Any]:
    """Time how long each candidate takes to be ready to run, in turn; in the form of a row.

    The file is in the system's cache and the libraries are imported: what is timed is reading,
    optimizing and packing.
    """
    chosen = [limit for limit in limits if limit.what == "load"]

    def turn(child: Process) -> float:
        return child.milliseconds({"do": "load", "threads": threads})

    for child in children:
        turn(child)  # the first also loads what its library loads late
    return {"threads": threads, **figures(in_turn(children, turn, chosen, None))}


def in_turn(
    children: Sequence[Process],
    turn: Callable[[Process], float],
    limits: Sequence[Limit],
    narrow: float | None,
) -> Times:
    """Return the milliseconds of each candidate, round by round, until the limits are decided."""
    times: Times = {child.name: [] for child in children}
    for rounds in LOOKS:
        done = len(times[children[0].name])
        for number in range(done, rounds):
            # Each round begins with another candidate, so that none always follows the same one.
            first = number % len(children)
            for child in (*children[first:], *children[:first]):
                times[child.name].append(turn(child))
        if not _goes_on(times, limits, narrow):
            break
    return times


def _goes_on(times: Times, limits: Sequence[Limit], narrow: float | None) -> bool:
    ratios = ratios_to(times)
    own = spread(next(iter(times.values())))
    for limit in limits:
        judged = own if limit.against is None else ratios[limit.against]
        if side(judged.median_from, judged.median_to, limit.ceiling) == "across":
            return True
    return narrow is not None and any(
        item.median_to - item.median_from > narrow * item.median for item in ratios.values()
    )


def ratios_to(times: Times) -> dict[str, Spread]:
    """Return the ratio of the first candidate's times to each other's, round by round."""
    first, *others = times
    return {
        name: spread([a / b for a, b in zip(times[first], times[name], strict=True)])
        for name in others
    }


def figures(times: Times) -> dict[str, Any]:
    """Return what a row says of the times: spreads, ratios, rounds, and the baseline's noise.

    `noise` is the distance of the quartiles of the steadiest other candidate, as a share of its
    median; where all of them were unsteady, the machine was.
    """
    spreads = {name: spread(values) for name, values in times.items()}
    first, *others = spreads
    noise = min(spreads[name].noise for name in others or [first])
    return {
        "rounds": len(times[first]),
        "milliseconds": {name: item.as_json() for name, item in spreads.items()},
        "ratio_to": {name: item.as_json() for name, item in ratios_to(times).items()},
        "noise": round(noise, 4),
        "noisy": noise > NOISY,
    }
