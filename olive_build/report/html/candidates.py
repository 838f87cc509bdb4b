"""What a search tried for a variant, where one left its log."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.bundle.manifest import MOST_BYTES
from olive_build.proof.figures import of_quality
from olive_build.untrusted import read_bytes

SEARCH = "search.json"


@dataclass(frozen=True)
class Candidate:
    """One way to quantize that a search measured.

    `size_ratio` and `latency_ratio` are against the fp32 graph, None where not measured.
    """

    name: str
    size_ratio: float | None
    latency_ratio: float | None
    figures: Mapping[str, float]
    holds: bool
    chosen: bool


@dataclass(frozen=True)
class SearchLog:
    """All that a search measured, and what it says of its choice; empty where none ran."""

    candidates: tuple[Candidate, ...] = ()
    summary: str = ""


def read_search(folder: Path, variant: str, proved: Mapping[str, Any]) -> SearchLog:
    """Return what is in the proof's `search`, or in search.json beside the variant's files.

    Raises KeyError, TypeError or ValueError where it is damaged, OSError where it is no plain file.
    """
    found = proved.get("search")
    if found is None:
        try:
            found = json.loads(read_bytes(folder / variant / SEARCH, MOST_BYTES))
        except FileNotFoundError:
            return SearchLog()
    candidates = tuple(_candidate(item) for item in found["candidates"])
    return SearchLog(candidates, str(found.get("summary") or ""))


def _candidate(item: Mapping[str, Any]) -> Candidate:
    given = item["figures"]
    figures = {name: float(given[name]) for name in of_quality() if name in given}
    if not all(map(math.isfinite, figures.values())):
        raise ValueError(f"the candidate {item['name']} has a figure that is not finite")
    return Candidate(
        name=str(item["name"]),
        size_ratio=_ratio(item["size_ratio"]),
        latency_ratio=_ratio(item["latency_ratio"]),
        figures=figures,
        holds=bool(item["holds"]),
        chosen=bool(item["chosen"]),
    )


def _ratio(value: Any) -> float | None:
    return None if value is None else float(value)


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other beats in both: smaller x, larger y; by x."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    return best
