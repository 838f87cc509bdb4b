"""Which nodes must run, decided from records alone: no artifact is read and nothing is started."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from olive_build.engine import reach
from olive_build.engine.fingerprint import Description, describe
from olive_build.engine.graph import Graph, Node, with_ancestors
from olive_build.engine.store import Artifact, Record, Store


@dataclass
class State:
    """What is known of a node so far."""

    inputs: dict[str, str] | None = None
    """Digests with which the rest was decided; None until all are known."""
    description: Description | None = None
    record: Record | None = None
    artifact: Artifact | None = None
    ran: bool = False
    must_run: bool = False


class Decisions:
    """The state of every node; `settle` brings it up to date after something ran.

    A node's digest is known from its record even if its artifact is gone. So an artifact that
    nobody has to read is not made again, and a node whose rebuilt input has the bytes it had
    before is still found by its key.
    """

    def __init__(
        self, graph: Graph, store: Store, wanted: Collection[str] | None, force: bool
    ) -> None:
        self.wanted = {node.id for node in graph.nodes} if wanted is None else set(wanted)
        unknown = self.wanted - {node.id for node in graph.nodes}
        if unknown:
            raise ValueError(f"wanted nodes {sorted(unknown)} are not in the graph")
        self.nodes = with_ancestors(graph, self.wanted)
        self.states = {node.id: State() for node in self.nodes}
        self._leaves = {leaf.id: leaf for leaf in graph.leaves}
        self.slots = {node.id: node.slot for node in self.nodes}
        self.store = store
        self.force = force

    def settle(self) -> None:
        """Look up every key that is known by now, and mark the nodes that must run."""
        for node in self.nodes:
            inputs = {name: self.digest(source) for name, source in node.inputs}
            known = {name: digest for name, digest in inputs.items() if digest is not None}
            state = self.states[node.id]
            if len(known) < len(inputs):
                self.states[node.id] = State()
            elif state.inputs != known:
                self.states[node.id] = State(inputs=known, description=describe(node.step, known))
                self.look_up(node)
        reach.remember()
        needed = set(self.states) if self.force else set(self.wanted)  # must be there
        asked: set[str] = set()  # their digest must be known
        for node in reversed(self.nodes):
            state = self.states[node.id]
            sources = [source for _, source in node.inputs]
            lacking = state.record is None or (node.id in needed and not self.usable(node.id))
            state.must_run = lacking and node.id in needed | asked and state.inputs is not None
            if state.must_run:
                needed.update(sources)
            elif state.record is None and node.id in needed | asked:
                asked.update(sources)

    def look_up(self, node: Node) -> None:
        """Read the record of a node whose key is known; another build may have written it."""
        state = self.states[node.id]
        assert state.description is not None
        state.record = self.store.find(state.description.key)
        state.artifact = self.store.artifact(state.record) if state.record else None

    def usable(self, source: str) -> bool:
        """Whether a node or leaf can be read by its dependants now."""
        if source in self._leaves:
            return True
        state = self.states[source]
        return state.artifact is not None and (state.ran or not self.force)

    def ready(self, node: Node) -> bool:
        """Whether a node must run and has all its inputs."""
        return self.states[node.id].must_run and all(self.usable(s) for _, s in node.inputs)

    def path(self, source: str) -> str:
        """Return where a usable node's or leaf's files are."""
        if source in self._leaves:
            return self._leaves[source].path
        artifact = self.states[source].artifact
        assert artifact is not None
        return str(artifact.path)

    def digest(self, source: str) -> str | None:
        """Return the digest of a node's or leaf's content, None if it is not known yet."""
        if source in self._leaves:
            return self._leaves[source].digest
        record = self.states[source].record
        return record.artifact if record else None
