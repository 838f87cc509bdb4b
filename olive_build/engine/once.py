"""A step by itself, before there is a plan: its artifact from the store, or made now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from olive_build.engine.decide import Decisions
from olive_build.engine.graph import Graph
from olive_build.engine.store import Store


def run_once(graph: Graph, node: str, store: Store, before: Callable[[], None]) -> Path:
    """Return the folder of a node's artifact, from the store or made now; raise its error.

    `before` is called before it runs.
    """
    decisions = Decisions(graph, store, wanted=None, force=False)
    decisions.settle()
    known = decisions.states[node].artifact
    if known is not None:
        return known.path
    # Only here: what is known needs nothing that runs steps.
    from olive_build.engine.run import run_graph

    before()
    outcome = run_graph(graph, store)[node]
    if outcome.error:
        raise outcome.error
    assert outcome.artifact is not None
    return outcome.artifact.path
