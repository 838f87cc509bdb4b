"""The steps that made a bundle and measured it, found in the store by the digests of its files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from olive_build.engine.registry import step_class
from olive_build.engine.store import Record, Store
from olive_build.engine.upkeep import Entry, ls

# What a step of the proof takes: files as they are shipped, or what another one made of them.
FILES, BETWEEN = ("model", "artifacts"), ("outputs", "proof")


@dataclass(frozen=True)
class StepView:
    """One step: how long it took when it ran, and the most memory that it used."""

    slot: str
    kind: str
    proves: bool
    """Whether its result is a figure, and no part of what is shipped."""
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
        if not _proves(entry):
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
        if _proves(entry) and _inputs(entry, FILES) & shipped
    }
    last = {
        entry.slot: entry
        for entry in entries
        if _proves(entry) and (_inputs(entry, FILES) & shipped or _inputs(entry, BETWEEN) & between)
    }
    return list(last.values())


def _proves(entry: Entry) -> bool:
    """Return whether a step is of the proof; one that there is no more made what it made."""
    try:
        return step_class(entry.record.description.kind).stage == "prove"
    except LookupError:
        return False


def _inputs(entry: Entry, names: Collection[str]) -> set[str]:
    """Return the digests of inputs; of several files each is called `model.<file>`."""
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
    return StepView(
        slot=entry.slot,
        kind=record.description.name,
        proves=_proves(entry),
        seconds=record.seconds,
        peak_bytes=record.peak_bytes,
        size_bytes=entry.size_bytes,
        depth=depth,
    )
