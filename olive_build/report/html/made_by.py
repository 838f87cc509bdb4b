"""The steps that made a bundle and measured it, found in the store by the digests of its files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from olive_build.engine.store import Record, Store
from olive_build.engine.upkeep import Entry, ls

# Steps whose result is a figure, and no part of what is shipped.
MEASURING = (
    *("outputs", "quality", "latency", "footprint", "describe"),
    *("training-proof", "trained-inference", "training-cost", "personalise"),
)
# Steps of whose output others measure, and as which input these take it.
BETWEEN = {"outputs": "outputs", "training-proof": "proof"}


@dataclass(frozen=True)
class StepView:
    """One step: how long it took when it ran, and the most memory that it used."""

    slot: str
    kind: str
    seconds: float
    peak_bytes: int | None
    size_bytes: int
    depth: int


def steps_behind(bundles: Iterable[Collection[str]], store: Store) -> tuple[StepView, ...]:
    """Return the steps behind bundles, those that others need first.

    A bundle is given by the sha256 digests of its files. What the store of this machine does not
    know is left out: a bundle may come from elsewhere.
    """
    entries = sorted(ls(store), key=lambda item: (item.record.finished, item.record.key))
    by_artifact = {entry.record.artifact: entry for entry in entries}
    shipped = {item for digests in bundles for item in _shipped(set(digests), entries)}
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
    """Return the artifacts that one bundle's files were taken from.

    Bundles of other models may hold a file of the same bytes, such as an optimizer's: an artifact
    that has more of this bundle's files goes first. Of equal ones it is the last that was made, or
    of its kind the one with the least beside.
    """
    holding: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.record.description.kind not in MEASURING:
            for digest in digests & _files(entry):
                holding.setdefault(digest, []).append(entry)
    return {_origin(found, digests).record.artifact for found in holding.values()}


def _origin(found: Sequence[Entry], digests: set[str]) -> Entry:
    """Return the one of several artifacts, in the order in which they were made."""
    most = max(len(digests & _files(entry)) for entry in found)
    best = [entry for entry in found if len(digests & _files(entry)) == most][::-1]
    kind = best[0].record.description.kind
    alike = [entry for entry in best if entry.record.description.kind == kind]
    return min(alike, key=lambda entry: len(_files(entry) - digests))


def _files(entry: Entry) -> set[str]:
    return {file.sha256 for file in entry.record.files}


def _measured(entries: Sequence[Entry], shipped: set[str]) -> list[Entry]:
    """Return the last measurement of what was shipped, for each slot."""
    # By themselves first: what is measured of them may be told to have ended in the same second.
    between = {
        entry.record.artifact
        for entry in entries
        if entry.record.description.kind in BETWEEN and _of_files(entry) & shipped
    }
    last = {
        entry.slot: entry
        for entry in entries
        if entry.record.description.kind in MEASURING
        and (_of_files(entry) & shipped or _inputs(entry, BETWEEN.values()) & between)
    }
    return list(last.values())


def _of_files(entry: Entry) -> set[str]:
    """Return what is measured as shipped: `model`, `model.<file>` of several, `artifacts`."""
    return _inputs(entry, ("model", "artifacts"))


def _inputs(entry: Entry, names: Collection[str]) -> set[str]:
    inputs = entry.record.description.inputs.items()
    return {digest for name, digest in inputs if name.split(".")[0] in names}


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
