"""One step by itself, before there is a plan: from the store, or run now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from olive_build.engine.decide import Decisions
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.step import Step
from olive_build.engine.store import Store


def run_once(
    step: Step,
    slot: str,
    store: Store,
    source: Path | None = None,
    before: Callable[[], None] = lambda: None,
) -> Path:
    """Return the folder of a step's artifact, from the store or made now; raise its error.

    The step is given the folder `source` under that name. `before` is called before it runs.
    """
    graph = GraphBuilder()
    inputs = {}
    if source:
        digest = store.digest_tree(source).digest
        inputs["source"] = graph.leaf(str(source), digest)
    node, whole = graph.add(step, inputs, slot), graph.build()
    decisions = Decisions(whole, store, wanted=None, force=False)
    decisions.settle()
    known = decisions.states[node].artifact
    if known is not None:
        return known.path
    # Only here: what is known needs nothing that runs steps.
    from olive_build.engine.run import run_graph

    before()
    outcome = run_graph(whole, store)[node]
    if outcome.error:
        raise outcome.error
    assert outcome.artifact is not None
    return outcome.artifact.path
