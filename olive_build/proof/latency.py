"""Latency of contestants relative to each other; they take turns, each in a process of its own.

Sessions in one process disturb each other, and a shared machine drifts; so each contestant has a
process, the processes take turns within a round, and ratios are taken round by round. Where a limit
lies inside the interval of a median, rounds go on, up to four times as many. What no limit asks for
ends with the time that there is (`Patience`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from olive_build.proof.contestant import Contestant, Process, TimeLimit
from olive_build.proof.interval import FEWEST, LOOKS, NOISY, side, spread, written
from olive_build.record.proof import Spread

TURN_SECONDS = 0.04
Times = dict[str, list[float]]


@dataclass(frozen=True)
class Patience:
    """How long measuring may take while no gate is open, and whom to tell what is left out."""

    seconds: float = math.inf
    tell: Callable[[str], None] = print
    began: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.began + self.seconds

    def share(self, parts: int) -> float:
        """Return when the next of so many parts must end, on the clock of `time.monotonic`."""
        now = time.monotonic()
        return now + max(0.0, self.began + self.seconds - now) / parts


def compare(
    contestants: Sequence[Contestant],
    *,
    texts: Mapping[int, str],
    threads: Sequence[int],
    limits: Sequence[TimeLimit] = (),
    narrow: float | None = None,
) -> list[dict[str, Any]]:
    """Time the contestants against the first one, for each text and thread count.

    `texts` maps a length in tokens to a text of that length. Returns one row for each combination:
    milliseconds of every contestant and the ratio of the first contestant's time to each other's,
    as median with quartiles and interval. Rounds go on while one of `limits` is undecided, or an
    interval is wider than the share `narrow` of its median.
    """
    with started(contestants) as children:
        return compare_running(children, texts, threads, limits, narrow)


@contextmanager
def started(contestants: Sequence[Contestant], log: Path | None = None) -> Iterator[list[Process]]:
    """Start a process for each contestant, which prints to `log`; end all of them on leaving."""
    children: list[Process] = []
    try:
        for contestant in contestants:
            # Not at once: those that were started must be closed.
            children.append(Process(contestant, contestant.command, log))  # noqa: PERF401
        yield children
    finally:
        for child in children:
            child.close()


def compare_running(
    children: Sequence[Process],
    texts: Mapping[int, str],
    threads: Sequence[int],
    limits: Sequence[TimeLimit] = (),
    narrow: float | None = None,
    patience: Patience | None = None,
) -> list[dict[str, Any]]:
    """Do what `compare` does, with processes that run already.

    When `patience` is over, a row but the first that nothing limits is left out, which is told.
    """
    patience = patience or Patience()
    shapes = [(count, length) for count in threads for length in texts]
    rows: list[dict[str, Any]] = []
    for number, (count, length) in enumerate(shapes):
        own = [
            limit
            for limit in limits
            if limit.what == "latency"
            and limit.tokens in (None, length)
            and limit.threads in (None, count)
        ]
        if rows and patience.over:
            which = f"size {length}, threads {count}"
            if not own and narrow is None:
                patience.tell(f"not timed, as time is up: {which}")
                continue
            patience.tell(f"goes on, since a gate is open: {which}")
        setup = {"threads": count, "text": texts[length], "tokens": length}
        # Loading, which is timed last, has a part too.
        until = patience.share(len(shapes) - number + 1)
        rows.append(_row(children, setup, own, narrow, until, patience.tell))
    return rows


def _row(
    children: Sequence[Process],
    setup: dict[str, Any],
    limits: Sequence[TimeLimit],
    narrow: float | None,
    until: float,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    for child in children:
        child.ask({"do": "setup", **setup})

    def turn(child: Process) -> float:
        return child.milliseconds({"do": "time", "seconds": TURN_SECONDS})

    def tell_where(text: str) -> None:
        tell(f"size {setup['tokens']}, threads {setup['threads']}: {text}")

    times = in_turn(children, turn, limits, narrow, until, tell_where)
    return {"tokens": setup["tokens"], "threads": setup["threads"], **figures(times)}


def compare_loads(
    children: Sequence[Process],
    limits: Sequence[TimeLimit] = (),
    threads: int = 1,
    patience: Patience | None = None,
) -> dict[str, Any] | None:
    """Time how long each contestant takes to be ready to run, in turn; return a row.

    When `patience` is over and nothing limits it, it is left out, which is told: None.
    The file is in the system's cache and the libraries are imported: what is timed is reading,
    optimizing and packing.
    """
    chosen = [limit for limit in limits if limit.what == "load"]
    patience = patience or Patience()
    if patience.over and not chosen:
        patience.tell("loading is not timed, as time is up")
        return None

    def turn(child: Process) -> float:
        return child.milliseconds({"do": "load", "threads": threads})

    for child in children:
        turn(child)  # the first also loads what its library loads late
    times = in_turn(children, turn, chosen, None, patience.share(1), patience.tell)
    return {"threads": threads, **figures(times)}


def in_turn(
    children: Sequence[Process],
    turn: Callable[[Process], float],
    limits: Sequence[TimeLimit],
    narrow: float | None,
    until: float = math.inf,
    tell: Callable[[str], None] = print,
) -> Times:
    """Return the milliseconds of each contestant, round by round, until the limits are decided.

    Where it is later than `until` (`time.monotonic`), the first look at the figures comes after
    FEWEST rounds already; what is open then goes on all the same, which is told. When one looks
    depends on the clock alone, so the looks keep their confidence.
    """
    times: Times = {child.name: [] for child in children}
    began = time.monotonic()
    for rounds in LOOKS:
        done = len(times[children[0].name])
        for number in range(done, rounds):
            if not done and number >= FEWEST and time.monotonic() > until:
                break
            # Each round begins with another contestant, so that none always follows the same one.
            first = number % len(children)
            for child in (*children[first:], *children[:first]):
                times[child.name].append(turn(child))
        is_open = _open(times, limits, narrow)
        if not is_open:
            break
        now, done = time.monotonic(), len(times[children[0].name])
        if now > until and rounds < LOOKS[-1]:
            longest = (now - began) / done * (LOOKS[-1] - done)
            tell(f"goes on, since {is_open}: {longest:.0f} s at most")
    return times


def _open(times: Times, limits: Sequence[TimeLimit], narrow: float | None) -> str | None:
    """Return what the rounds have not decided yet; None when all is decided."""
    ratios = ratios_to(times)
    own = spread(next(iter(times.values())))
    for limit in limits:
        judged = own if limit.against is None else ratios[limit.against]
        if side(*judged.interval, limit.ceiling) == "across":
            return f"the gate on {limit.text()} is open"
    wide = narrow is not None and any(
        end - start > narrow * item.median
        for item in ratios.values()
        for start, end in (item.interval,)
    )
    return "the interval is wider than the gate on regression needs" if wide else None


def ratios_to(times: Times) -> dict[str, Spread]:
    """Return the ratio of the first contestant's times to each other's, round by round."""
    first, *others = times
    return {
        name: spread([a / b for a, b in zip(times[first], times[name], strict=True)])
        for name in others
    }


def figures(times: Times) -> dict[str, Any]:
    """Return what a row says of the times: spreads, ratios, rounds, and the baseline's noise.

    `noise` is the distance of the quartiles of the steadiest other contestant, as a share of its
    median; where all of them were unsteady, the machine was.
    """
    spreads = {name: spread(values) for name, values in times.items()}
    first, *others = spreads
    noise = min(spreads[name].noise for name in others or [first])
    return {
        "rounds": len(times[first]),
        "milliseconds": {name: written(item) for name, item in spreads.items()},
        "ratio_to": {name: written(item) for name, item in ratios_to(times).items()},
        "noise": round(noise, 4),
        "noisy": noise > NOISY,
    }
