"""Why a step runs, or does not: its description against the one last built for its slot."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any

from olive_build.engine.decide import Decisions
from olive_build.engine.fingerprint import Description
from olive_build.engine.graph import Graph, Node
from olive_build.engine.store import Store
from olive_build.values import dataclass

_MOST_FILES = 5


class Plain(Enum):
    """A reason of which nothing more is to be said."""

    FIRST_RUN = "never built before"
    FORCED = "forced"
    ARTIFACT_MISSING = "built before, but no longer in the cache"
    UP_TO_DATE = "up to date"

    def text(self) -> str:
        return self.value


@dataclass(frozen=True)
class FieldChanged:
    """A setting of the step differs; nested ones have a dotted path, absent ones are None."""

    field: str
    old: object
    new: object

    def text(self) -> str:
        return f"{self.field} changed: {self.old!r} -> {self.new!r}"


@dataclass(frozen=True)
class CodeChanged:
    """Code that the step reaches is other code now, comments and docstrings apart."""

    files: tuple[str, ...]

    def text(self) -> str:
        more = len(self.files) - _MOST_FILES
        named = ", ".join(self.files[:_MOST_FILES])
        return f"code changed: {named}" + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class InputChanged:
    """An input has other bytes (digests; None if there was or is no such input)."""

    name: str
    old: str | None
    new: str | None

    def text(self) -> str:
        if self.old is None or self.new is None:
            return f"input {self.name} is {'new' if self.old is None else 'gone'}"
        return f"input {self.name} changed: {self.old[:12]} -> {self.new[:12]}"


@dataclass(frozen=True)
class InputWillRun:
    """An input is made anew first; if its bytes stay the same, this step will not run."""

    name: str
    slot: str

    def text(self) -> str:
        return f"input {self.name} is made anew by {self.slot}"


@dataclass(frozen=True)
class ToolChanged:
    """A tool has another version (None: it was or is not one of the step's)."""

    name: str
    old: str | None
    new: str | None

    def text(self) -> str:
        return f"{self.name} changed: {self.old or 'not used'} -> {self.new or 'not used'}"


Reason = Plain | FieldChanged | CodeChanged | InputChanged | InputWillRun | ToolChanged


def differences(old: Description | None, new: Description) -> tuple[Reason, ...]:
    """Return all reasons for which `new` must be built, given what the slot held last."""
    if old is None:
        return (Plain.FIRST_RUN,)
    if old.key == new.key:
        return (Plain.ARTIFACT_MISSING,)
    found: list[Reason] = []
    if old.kind != new.kind:
        found.append(FieldChanged("kind", old.kind, new.kind))
    files = tuple(sorted(name for name, _, _ in _changes(old.code, new.code)))
    if files:
        found.append(CodeChanged(files))
    for name, before, after in _changes(_flat(old.fields), _flat(new.fields)):
        found.append(FieldChanged(name, before, after))
    for name, before, after in _changes(old.inputs, new.inputs):
        found.append(InputChanged(name, before, after))
    for name, before, after in _changes(old.tools, new.tools):
        found.append(ToolChanged(name, before, after))
    if old.machine != new.machine:
        found.append(FieldChanged("machine", old.machine, new.machine))
    return tuple(found)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in [*new, *(name for name in old if name not in new)]:
        if old.get(name) != new.get(name) or (name in old) != (name in new):
            yield name, old.get(name), new.get(name)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def reasons(decisions: Decisions, node: Node) -> tuple[Reason, ...]:
    """Return why a node must run, may have to run, or need not."""
    state = decisions.states[node.id]
    if decisions.force:
        return (Plain.FORCED,)
    if state.description is None:
        unknown = [(name, s) for name, s in node.inputs if decisions.digest(s) is None]
        return tuple(InputWillRun(name, decisions.slots[source]) for name, source in unknown)
    if not state.must_run:
        return (Plain.UP_TO_DATE,)
    if state.record is not None:
        return (Plain.ARTIFACT_MISSING,)
    return differences(decisions.store.last(node.slot), state.description)


def explain(
    graph: Graph,
    store: Store,
    *,
    force: bool = False,
    wanted: Collection[str] | None = None,
) -> tuple[tuple[Node, tuple[Reason, ...]], ...]:
    """Return for every node why `run_graph` would run it or not; runs nothing."""
    decisions = Decisions(graph, store, wanted, force)
    decisions.settle()
    return tuple((node, reasons(decisions, node)) for node in decisions.nodes)
