"""Typed reasons, the same before a run and in its outcomes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_steps import Join, Measure, Mode, OtherMode, Tooled

from olive_build.engine import fingerprint
from olive_build.engine.explain import (
    CodeChanged,
    FieldChanged,
    InputChanged,
    InputWillRun,
    Plain,
    Reason,
    ToolChanged,
    explain,
)
from olive_build.engine.graph import Graph, GraphBuilder
from olive_build.engine.machine import this_machine
from olive_build.engine.reach import Reached, reached
from olive_build.engine.run import run_graph
from olive_build.engine.store import Store


def graph(first: Join | None = None, second: Join | None = None, digest: str = "0" * 64) -> Graph:
    """Return a leaf (this file), a step and another that reads it."""
    builder = GraphBuilder()
    leaf = builder.leaf(Path(__file__), digest)
    one = builder.add(first or Join("a", keep=1), {"data": leaf}, "m/one")
    builder.add(second or Join("b"), {"before": one}, "m/two")
    return builder.build()


def why(found: Graph, store: Store, force: bool = False) -> dict[str, tuple[Reason, ...]]:
    """Return each slot's reasons, and check that a text can be made of them."""
    reasons = {node.slot: reasons for node, reasons in explain(found, store, force=force)}
    assert all(reason.text() for several in reasons.values() for reason in several)
    return reasons


def test_first_run_then_up_to_date_then_forced(store: Store) -> None:
    assert why(graph(), store) == {
        "m/one": (Plain.FIRST_RUN,),
        "m/two": (InputWillRun("before", "m/one"),),
    }
    run_graph(graph(), store)
    assert why(graph(), store) == {"m/one": (Plain.UP_TO_DATE,), "m/two": (Plain.UP_TO_DATE,)}
    assert why(graph(), store, force=True) == {"m/one": (Plain.FORCED,), "m/two": (Plain.FORCED,)}


def test_changes_of_every_kind_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_graph(graph(second=Join("b", mode=Mode(8), names=("x",))), store)
    changed = why(graph(second=Join("b", mode=OtherMode(4), names=("y",))), store)
    assert changed["m/two"] == (
        FieldChanged("mode.$type", "Mode", "OtherMode"),
        FieldChanged("mode.bits", 8, 4),
        FieldChanged("names", ["x"], ["y"]),
    )
    assert FieldChanged("mode", None, None) not in changed["m/two"]
    new = why(graph(digest="1" * 64), store)
    assert new["m/one"] == (InputChanged("data", "0" * 64, "1" * 64),)
    assert new["m/two"] == (InputWillRun("before", "m/one"),)
    files = {**reached(Join("a").kind).files, "steps/tiny_steps.py": "0" * 16}
    monkeypatch.setattr(fingerprint, "reached", lambda *step: Reached(files, ()))
    assert why(graph(), store)["m/one"] == (CodeChanged(("steps/tiny_steps.py",)),)
    many = CodeChanged(tuple("abcdefg"))
    assert many.text() == "code changed: a, b, c, d, e and 2 more"


def test_another_machine_is_named_where_a_step_measures(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_graph(graph(second=Measure("b")), store)
    here = this_machine()
    there = replace(here, cpu="another", fingerprint="another")
    monkeypatch.setattr(fingerprint, "this_machine", lambda: there)
    assert why(graph(second=Measure("b")), store) == {
        "m/one": (Plain.UP_TO_DATE,),
        "m/two": (FieldChanged("machine", here.fingerprint, there.fingerprint),),
    }


def test_what_was_measured_is_recorded_for_the_machine_that_ran_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that asks believes that it is another machine; the worker knows better."""
    with monkeypatch.context() as patch:
        there = replace(this_machine(), cpu="another", fingerprint="another")
        patch.setattr(fingerprint, "this_machine", lambda: there)
        outcomes = run_graph(graph(second=Measure("b")), store)
    assert [outcome.status for outcome in outcomes.values()] == ["ran", "ran"]
    assert why(graph(second=Measure("b")), store)["m/two"] == (Plain.UP_TO_DATE,)


def test_a_changed_tool_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_graph(graph(Tooled("a")), store)
    old = fingerprint.tool_version("pytest")
    monkeypatch.setattr(fingerprint, "tool_version", lambda name: "99")
    assert why(graph(Tooled("a")), store)["m/one"] == (ToolChanged("pytest", old, "99"),)


def test_a_missing_artifact_is_named(store: Store) -> None:
    outcomes = run_graph(graph(), store)
    last = list(outcomes.values())[-1]
    assert last.artifact is not None
    (last.artifact.path / "text").unlink()
    assert why(graph(), store) == {"m/one": (Plain.UP_TO_DATE,), "m/two": (Plain.ARTIFACT_MISSING,)}


def test_a_run_gives_the_reason_that_was_found_in_the_end(store: Store) -> None:
    run_graph(graph(), store)
    outcomes = run_graph(graph(first=Join("x", keep=1)), store)
    one, two = outcomes.values()
    assert one.reasons == (FieldChanged("text", "a", "x"),)
    assert isinstance(two.reason, InputChanged) and two.reason.name == "before"


def test_history_follows_what_was_used_last(store: Store) -> None:
    for text in "aba":
        run_graph(graph(second=Join(text)), store)
    assert why(graph(second=Join("c")), store)["m/two"] == (FieldChanged("text", "a", "c"),)
