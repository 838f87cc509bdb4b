"""Steps, and the graph of them: what must be made from what. Pure; nothing is read or run here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.fingerprint import digest_of, to_fields
from olive_build.engine.step import Step

_WORD = r"[\w+@=-][\w.+@=-]{0,99}"
_SLOT = re.compile(f"{_WORD}(/{_WORD})*", re.ASCII)


@dataclass(frozen=True)
class Leaf:
    """Something that exists already: a model's folder or a data file."""

    id: str
    path: str
    digest: str


@dataclass(frozen=True)
class Node:
    """A step and where its inputs come from."""

    id: str
    step: Step
    inputs: tuple[tuple[str, str], ...]
    """(input's name, id of a node or leaf), sorted by name."""
    slot: str
    """Stable name for people ("all-minilm-l6-v2/quantize/int8"): progress lines and history."""


@dataclass(frozen=True)
class Graph:
    """Leaves and nodes, each node after everything that it needs."""

    leaves: tuple[Leaf, ...]
    nodes: tuple[Node, ...]


class GraphBuilder:
    """Collects leaves and steps; equal steps over equal inputs become one node."""

    def __init__(self) -> None:
        self._leaves: dict[str, Leaf] = {}
        self._nodes: dict[str, Node] = {}
        self._slots: set[str] = set()

    def leaf(self, path: str | Path, digest: str) -> str:
        """Add what lies at `path`, whose content has `digest`; return its id."""
        leaf = Leaf(f"leaf-{digest[:32]}", str(Path(path).absolute()), digest)
        return self._leaves.setdefault(leaf.id, leaf).id

    def add(
        self, step: Step, inputs: Mapping[str, str], slot: str, *, otherwise: str | None = None
    ) -> str:
        """Add a step and return its node's id, which depends on the step and inputs alone.

        If the graph has the node already, its first slot stays; if another node has the slot, this
        one gets the slot `otherwise`. Raises ValueError for an input
        that was not added before and for a slot that could not be a relative path.
        """
        unknown = [i for i in inputs.values() if i not in self._leaves and i not in self._nodes]
        if unknown:
            raise ValueError(f"{slot}: inputs {unknown} were not added to the graph")
        if not _SLOT.fullmatch(slot):
            raise ValueError(f"slot {slot!r} is not short words separated by slashes")
        pairs = tuple(sorted(inputs.items()))
        shape = {"kind": step.kind, "inputs": pairs}
        node_id = digest_of({**shape, "fields": to_fields(step)})[:32]
        if node_id not in self._nodes:
            slot = otherwise if otherwise and slot in self._slots else slot
            self._slots.add(slot)
            self._nodes[node_id] = Node(node_id, step, pairs, slot)
        return node_id

    def build(self) -> Graph:
        """Return the graph as collected so far."""
        return Graph(tuple(self._leaves.values()), tuple(self._nodes.values()))


def with_ancestors(graph: Graph, wanted: set[str]) -> tuple[Node, ...]:
    """Return the wanted nodes and all that they need, in the graph's order."""
    needed = set(wanted)
    for node in reversed(graph.nodes):
        if node.id in needed:
            needed.update(source for _, source in node.inputs)
    return tuple(node for node in graph.nodes if node.id in needed)
