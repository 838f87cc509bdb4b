"""The steps that made a bundle and measured it, found in the store by the digests of its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from olive_build.engine.store import Record, Store
from olive_build.engine.upkeep import Entry, ls

# Steps whose result is a figure, and no part of what is shipped.
MEASURING = ("outputs", "quality", "latency", "footprint", "describe")


@dataclass(frozen=True)
class StepView:
    """One step: how long it took when it ran, and the most memory that it used."""

    slot: str
    kind: str
    seconds: float
    peak_bytes: int | None
    size_bytes: int
    depth: int


def steps_behind(digests: Iterable[str], store: Store) -> tuple[StepView, ...]:
    """Return the steps behind files with these sha256 digests, those that others need first.

    What the store of this machine does not know is left out: a bundle may come from elsewhere.
    """
    entries = sorted(ls(store), key=lambda item: (item.record.finished, item.record.key))
    by_artifact = {entry.record.artifact: entry for entry in entries}
    shipped = _shipped(set(digests), entries)
    found: dict[str, Entry] = {}
    todo = [by_artifact[artifact] for artifact in shipped]
    while todo:
        entry = todo.pop()
        if entry.record.artifact in found:
            continue
        # Equal bytes may have been made more than once; the last run is the one that is told of.
        found[entry.record.artifact] = by_artifact[entry.record.artifact]
        needs = entry.record.description.inputs.values()
        todo += [by_artifact[digest] for digest in needs if digest in by_artifact]
    measured = _measured(entries, shipped)
    depths: dict[str, int] = {}
    for digest in found:
        _depth(digest, found, depths)
    views = [_view(entry, depths[entry.record.artifact]) for entry in found.values()]
    views += [_view(entry, 1 + max(depths.values(), default=0)) for entry in measured]
    return tuple(sorted(views, key=lambda step: (step.depth, step.slot, step.kind)))


def _shipped(digests: set[str], entries: Sequence[Entry]) -> set[str]:
    """Return the artifacts that files were taken from: the last that was made with each."""
    last = {
        file.sha256: entry.record.artifact
        for entry in entries
        if entry.record.description.kind not in MEASURING
        for file in entry.record.files
        if file.sha256 in digests
    }
    return set(last.values())


def _measured(entries: Sequence[Entry], shipped: set[str]) -> list[Entry]:
    """Return the last measurement of what was shipped, for each slot."""
    last: dict[str, Entry] = {}
    outputs: set[str] = set()
    for entry in entries:
        about = entry.record.description
        if about.kind not in MEASURING:
            continue
        # Files are `model`, or `model.<file>` of a layout of several; quality is of their outputs.
        files = {digest for name, digest in about.inputs.items() if name.split(".")[0] == "model"}
        if files & shipped:
            last[entry.slot] = entry
            outputs |= {entry.record.artifact} if about.kind == "outputs" else set()
        elif about.inputs.get("outputs") in outputs:
            last[entry.slot] = entry
    return list(last.values())


def _depth(digest: str, found: dict[str, Entry], depths: dict[str, int]) -> int:
    """Return how many steps stand before one at most, remembering each."""
    if digest not in depths:
        needs = found[digest].record.description.inputs.values()
        before = [_depth(item, found, depths) for item in needs if item in found]
        depths[digest] = 1 + max(before, default=-1)
    return depths[digest]


def _view(entry: Entry, depth: int) -> StepView:
    record: Record = entry.record
    kind = record.description.kind
    return StepView(entry.slot, kind, record.seconds, record.peak_bytes, entry.size_bytes, depth)
