"""The steps that made a bundle and measured it, found in the store by the digests of its files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    makers: dict[str, list[Entry]] = {}
    for entry in entries:
        makers.setdefault(entry.record.artifact, []).append(entry)
    shipped = {item for digests in bundles for item in _shipped(set(digests), entries)}
    found: dict[str, tuple[Entry, int]] = {}
    for artifact in shipped:
        _depth(artifact, makers, found, frozenset())
    measured = _measured(entries, shipped)
    views = [_view(entry, depth) for entry, depth in found.values()]
    last = 1 + max((depth for _, depth in found.values()), default=0)
    views += [_view(entry, last) for entry in measured]
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


def _depth(
    artifact: str,
    makers: Mapping[str, Sequence[Entry]],
    found: dict[str, tuple[Entry, int]],
    above: frozenset[str],
) -> int:
    """Return how many steps stand before an artifact at most; put it and what it needs in `found`.

    Equal bytes may have been made more than once. The last run is told of, but a step that changed
    nothing did not make them: a run goes first that needs neither them nor what is `above` them.
    """
    if artifact not in found:
        above |= {artifact}
        last_first = makers[artifact][::-1]
        entry = next((item for item in last_first if not above & _needs(item)), last_first[0])
        needs = [item for item in _needs(entry) - above if item in makers]
        before = [_depth(item, makers, found, above) for item in needs]
        found[artifact] = entry, 1 + max(before, default=-1)
    return found[artifact][1]


def _needs(entry: Entry) -> set[str]:
    return set(entry.record.description.inputs.values())


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
