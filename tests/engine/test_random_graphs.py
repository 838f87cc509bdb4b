"""Any graph: each node once, after its inputs; the second run runs nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_steps import Join

from olive_build.engine.events import Event, StepFinished, StepStarted
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.run import run_graph
from olive_build.engine.store import Store

_PICKS = st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 9))), max_size=8)


@settings(
    max_examples=12,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(picks=_PICKS, jobs=st.integers(1, 3))
def test_each_node_runs_once_and_in_order(picks: list[tuple[int, set[int]]], jobs: int) -> None:
    builder = GraphBuilder()
    ids: list[str] = []
    for number, (text, sources) in enumerate(picks):
        inputs = {f"in{s}": ids[s] for s in sources if s < len(ids)}
        ids.append(builder.add(Join(str(text), keep=20), inputs, f"slot/{number}"))
    graph = builder.build()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        events: list[Event] = []
        first = run_graph(graph, store, jobs=jobs, on_event=events.append)
        assert set(first) == {node.id for node in graph.nodes}
        started = [e.slot for e in events if isinstance(e, StepStarted)]
        assert len(started) == len(set(started))
        ended = [e.outcome.slot for e in events if isinstance(e, StepFinished)]
        assert sorted(ended) == sorted(node.slot for node in graph.nodes)
        slots = {node.id: node.slot for node in graph.nodes}
        for node in graph.nodes:
            for _, source in node.inputs:
                assert ended.index(slots[source]) < ended.index(node.slot)
        second = run_graph(graph, store, jobs=jobs)
        assert {o.status for o in second.values()} <= {"cached"}
        assert {o.id: o.artifact for o in second.values()} == {
            o.id: o.artifact for o in first.values()
        }
