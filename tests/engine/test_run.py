"""What runs, in which order, and what becomes of the rest."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_steps import Alone, Join, Odd, Slow, Tells

from olive_build.engine.events import (
    Event,
    NotReproducible,
    RunStarted,
    StepFinished,
    StepStarted,
    StepTold,
    StillRunning,
    Waiting,
)
from olive_build.engine.explain import Plain
from olive_build.engine.fingerprint import describe
from olive_build.engine.graph import Graph, GraphBuilder
from olive_build.engine.run import run_graph
from olive_build.engine.store import Artifact, Record, Store
from olive_build.errors import ProofError, StepError

Notes = Callable[[], list[str]]


def chain(*texts: str, keep: int = 1000) -> Graph:
    """Return steps that each read the one before."""
    builder = GraphBuilder()
    inputs: dict[str, str] = {}
    for number, text in enumerate(texts):
        inputs = {"before": builder.add(Join(text, keep=keep), inputs, f"chain/{number}")}
    return builder.build()


def statuses(graph: Graph, store: Store, **options: object) -> dict[str, str]:
    """Run and return the status of each slot."""
    return {o.slot: o.status for o in run_graph(graph, store, **options).values()}  # type: ignore[arg-type]


def test_second_run_runs_nothing_and_starts_nothing(
    store: Store, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = chain("a", "b", "c")
    first = run_graph(graph, store)
    assert [o.status for o in first.values()] == ["ran"] * 3
    assert [o.reason for o in first.values()] == [Plain.FIRST_RUN] * 3
    last = first[graph.nodes[-1].id]
    assert last.artifact is not None
    assert (last.artifact.path / "text").read_text() == "c+before(b+before(a))"
    assert not (last.artifact.path / "text").stat().st_mode & 0o222
    monkeypatch.setattr(subprocess, "Popen", None)
    second = run_graph(graph, store)
    assert [o.status for o in second.values()] == ["cached"] * 3
    assert [o.reason for o in second.values()] == [Plain.UP_TO_DATE] * 3
    assert second[last.id].artifact == last.artifact
    assert notes() == ["a", "b", "c"]


def test_fully_cached_graph_of_30_nodes_is_fast(store: Store) -> None:
    graph = chain(*(f"step {number}" for number in range(30)), keep=20)
    run_graph(graph, store)
    with Store() as fresh:
        started = time.process_time()  # other work on the machine does not count
        outcomes = run_graph(graph, fresh)
        assert time.process_time() - started < 0.05
    assert {o.status for o in outcomes.values()} == {"cached"}


def test_of_a_cached_step_the_artifact_is_looked_up_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = chain("a", "b", "c")
    run_graph(graph, store)
    asked: list[str] = []
    look_up = Store.artifact

    def counted(self: Store, record: Record) -> Artifact | None:
        asked.append(record.key)
        return look_up(self, record)

    monkeypatch.setattr(Store, "artifact", counted)
    found = run_graph(graph, store)
    assert sorted(asked) == sorted(str(outcome.key) for outcome in found.values())
    assert all(outcome.artifact for outcome in found.values())


def test_importing_the_engine_imports_nothing_heavy() -> None:
    program = (
        "import sys; import olive_build.engine.run, olive_build.engine.upkeep;"
        "print({'torch','onnx','onnxruntime','numpy','pydantic','filelock'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"set()"]


def test_equal_bytes_of_a_rebuilt_input_stop_the_rebuild(store: Store, notes: Notes) -> None:
    """The first step changes, its first character does not, so the last is found by its key."""
    assert set(statuses(chain("abc", "z", keep=1), store).values()) == {"ran"}
    assert statuses(chain("axx", "z", keep=1), store) == {"chain/0": "ran", "chain/1": "cached"}
    assert notes() == ["abc", "z", "axx"]


def test_ancestors_are_remade_only_if_someone_reads_them(store: Store, notes: Notes) -> None:
    graph = chain("a", "b", "c")
    last = graph.nodes[-1].id
    run_graph(graph, store)
    shutil.rmtree(store.root / "artifacts")
    run_graph(graph, store, wanted=[graph.nodes[0].id])
    assert notes() == ["a", "b", "c", "a"]
    outcome = run_graph(graph, store, wanted=[last])[last]
    assert outcome.reason == Plain.ARTIFACT_MISSING
    assert notes() == ["a", "b", "c", "a", "b", "c"]
    shutil.rmtree(store.artifact_path(_artifact(store, graph, 1)))
    again = statuses(graph, store, wanted=[last])
    assert set(again.values()) == {"cached"}
    assert len(notes()) == 6


def _artifact(store: Store, graph: Graph, number: int) -> str:
    description = store.last(graph.nodes[number].slot)
    assert description is not None
    record = store.find(description.key)
    assert record is not None
    return record.artifact


def test_wanted_leaves_the_rest_alone(store: Store, notes: Notes) -> None:
    builder = GraphBuilder()
    wanted = builder.add(
        Join("wanted"), {"in": builder.add(Join("needed"), {}, "needed")}, "wanted"
    )
    builder.add(Join("other"), {}, "other")
    assert set(statuses(builder.build(), store, wanted=[wanted])) == {"needed", "wanted"}
    assert notes() == ["needed", "wanted"]


def test_equal_steps_are_one_node_and_the_first_slot_stays() -> None:
    builder = GraphBuilder()
    assert builder.add(Join("a"), {}, "one/a") == builder.add(Join("a"), {}, "two/a")
    assert builder.add(Join("b"), {}, "one/b") != builder.add(Join("a"), {}, "one/a")
    assert [node.slot for node in builder.build().nodes] == ["one/a", "one/b"]
    with pytest.raises(ValueError, match="not added"):
        builder.add(Join("c"), {"in": "nowhere"}, "one/c")
    for slot in ("", "/a", "a//b", "a/../b", "a b"):
        with pytest.raises(ValueError, match="slot"):
            builder.add(Join("c"), {}, slot)


def test_a_leaf_is_read_and_its_content_counts(store: Store, tmp_path: Path) -> None:
    def graph() -> Graph:
        builder = GraphBuilder()
        leaf = builder.leaf(tmp_path / "data", store.digest_tree(tmp_path / "data").digest)
        builder.add(Join("a"), {"in": leaf}, "a")
        return builder.build()

    (tmp_path / "data").write_text("1")
    (outcome,) = run_graph(graph(), store).values()
    assert outcome.artifact is not None
    assert (outcome.artifact.path / "text").read_text() == "a+in(1)"
    (tmp_path / "data").write_text("2")
    assert statuses(graph(), store) == {"a": "ran"}
    (tmp_path / "data").write_text("1")
    assert statuses(graph(), store) == {"a": "cached"}


def failing() -> Graph:
    """Return a failing step, what depends on it, and what does not."""
    builder = GraphBuilder()
    bad = builder.add(Odd("raise"), {}, "bad")
    child = builder.add(Join("child"), {"in": bad}, "child")
    builder.add(Join("grandchild"), {"in": child}, "grandchild")
    builder.add(Join("beside"), {"in": builder.add(Join("free"), {}, "free")}, "beside")
    return builder.build()


def test_failure_stops_the_rest(store: Store) -> None:
    outcomes = {o.slot: o for o in run_graph(failing(), store, jobs=1).values()}
    assert {slot: o.status for slot, o in outcomes.items()} == {
        "bad": "failed",
        "child": "skipped",
        "grandchild": "skipped",
        "free": "not started",
        "beside": "not started",
    }
    assert outcomes["grandchild"].blocked_by == "bad"
    error, log = outcomes["bad"].error, outcomes["bad"].log
    assert isinstance(error, StepError) and log is not None
    assert error.what == "step 'odd' failed for bad"
    assert error.where == str(log)
    assert error.why is not None and error.why.startswith("ValueError: the weights are")
    assert "Traceback" in log.read_text() and "Traceback" not in error.render()


def test_keep_going_runs_what_can_and_a_failure_is_never_cached(store: Store, notes: Notes) -> None:
    expected = {
        "bad": "failed",
        "child": "skipped",
        "grandchild": "skipped",
        "free": "ran",
        "beside": "ran",
    }
    assert statuses(failing(), store, keep_going=True) == expected
    expected.update(free="cached", beside="cached")
    assert statuses(failing(), store, keep_going=True) == expected
    assert notes().count("raise") == 2


def test_our_own_errors_pass_through(store: Store) -> None:
    builder = GraphBuilder()
    builder.add(Odd("proof"), {}, "proof")
    (outcome,) = run_graph(builder.build(), store).values()
    assert isinstance(outcome.error, ProofError)
    assert (outcome.error.what, outcome.error.why) == ("too far off", "0.2 > 0.1")
    assert (outcome.error.hint, outcome.error.where) == ("use int8", str(outcome.log))


def test_force_runs_again_and_tells_what_is_not_reproducible(store: Store) -> None:
    builder = GraphBuilder()
    noise = builder.add(Odd("random"), {}, "noise")
    builder.add(Join("a"), {}, "steady")
    graph = builder.build()
    first = run_graph(graph, store)
    events: list[Event] = []
    second = run_graph(graph, store, force=True, on_event=events.append)
    assert [o.status for o in second.values()] == ["ran", "ran"]
    assert [o.reason for o in second.values()] == [Plain.FORCED, Plain.FORCED]
    key = first[noise].key
    assert [e for e in events if isinstance(e, NotReproducible)] == [
        NotReproducible("noise", key, ("text",))  # type: ignore[arg-type]
    ]
    assert run_graph(graph, store)[noise].artifact == second[noise].artifact
    assert second[noise].artifact != first[noise].artifact


def test_other_bytes_of_a_remade_input_rebuild_what_was_cached(store: Store, notes: Notes) -> None:
    """What lies between is cached by the old bytes until the input turns out to have new ones."""

    def graph(text: str) -> Graph:
        builder = GraphBuilder()
        noise = builder.add(Odd("random"), {}, "noise")
        between = builder.add(Join("between"), {"in": noise}, "between")
        builder.add(Join("end"), {"in": between}, "end")
        builder.add(Join(text), {"in": noise}, "beside")
        return builder.build()

    first = run_graph(graph("old"), store)
    noise, *_ = first.values()
    assert noise.artifact is not None
    shutil.rmtree(noise.artifact.path)
    assert statuses(graph("new"), store) == dict.fromkeys(
        ("noise", "between", "end", "beside"), "ran"
    )
    assert set(statuses(graph("new"), store).values()) == {"cached"}


def test_a_step_that_another_build_makes_is_waited_for(store: Store) -> None:
    graph = chain("a")
    key = describe(graph.nodes[0].step, {}).key
    lock = store.try_lock(key)
    assert lock is not None
    threading.Timer(0.2, lock.release).start()
    events: list[Event] = []
    run_graph(graph, store, on_event=events.append)
    events = [event for event in events if event != StillRunning()]
    assert events[:2] == [RunStarted(1), Waiting("chain/0", key)]
    assert [type(event) for event in events[2:]] == [StepStarted, StepFinished]


def test_what_a_step_tells_comes_as_it_runs(store: Store) -> None:
    builder = GraphBuilder()
    builder.add(Tells("half \u00bd\nof it"), {}, "talk")
    events: list[Event] = []
    run_graph(builder.build(), store, on_event=events.append)
    started, *told, finished = [event for event in events[1:] if event != StillRunning()]
    assert (type(started), type(finished)) == (StepStarted, StepFinished)
    assert told == [StepTold("talk", "half \u00bd\nof it"), StepTold("talk", "done")]


def test_steps_run_at_once_but_exclusive_ones_alone(store: Store, notes: Notes) -> None:
    builder = GraphBuilder()
    for name in "ab":
        builder.add(Slow(name), {}, name)
    builder.add(Alone("alone"), {}, "alone")
    run_graph(builder.build(), store, jobs=2)
    lines = [line for line in notes() if " " in line]
    assert {lines[0], lines[1]} == {"begin a", "begin b"}
    assert lines[-2:] == ["begin alone", "end alone"]


def test_what_unblocks_the_most_starts_first(store: Store, notes: Notes) -> None:
    builder = GraphBuilder()
    builder.add(Join("leaf"), {}, "leaf")
    start = builder.add(Join("start"), {}, "start")
    builder.add(Join("end"), {"in": start}, "end")
    run_graph(builder.build(), store, jobs=1)
    assert notes()[0] == "start"


def test_each_node_is_reported_once(store: Store) -> None:
    events: list[Event] = []
    graph = chain("a", "b")
    run_graph(graph, store, on_event=events.append)
    run_graph(graph, store, on_event=events.append)
    assert [e.outcome.status for e in events if isinstance(e, StepFinished)] == [
        "ran",
        "ran",
        "cached",
        "cached",
    ]
    assert [e.slot for e in events if isinstance(e, StepStarted)] == ["chain/0", "chain/1"]
