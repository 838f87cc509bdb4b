"""Steps of a toolchain: real workers in its environment, its lock in keys, and its lack."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_steps import InToolchain, Join, Tooled

from olive_build.engine.events import Event, Outcome, Provisioning, StepStarted
from olive_build.engine.fingerprint import describe
from olive_build.engine.graph import Graph, GraphBuilder
from olive_build.engine.run import run_graph
from olive_build.engine.store import Store
from olive_build.toolchains.environments import pins


@pytest.fixture
def unmade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the toolchain and without a network."""
    monkeypatch.setenv("OLIVE_BUILD_TOOLCHAINS", str(tmp_path / "toolchains"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return tmp_path / "toolchains"


def two_targets() -> Graph:
    """Return a chain through the toolchain, and one that needs none."""
    builder = GraphBuilder()
    export = builder.add(Join("export"), {}, "training/export")
    train = builder.add(InToolchain("versions"), {"model": export}, "training/artifacts")
    builder.add(Join("proof"), {"artifacts": train}, "training/proof")
    builder.add(Join("other"), {}, "other/export")
    return builder.build()


def by_slot(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Return the outcomes by the names that people read."""
    return {outcome.slot: outcome for outcome in outcomes.values()}


@pytest.mark.usefixtures("training_python")
def test_a_step_runs_among_the_toolchains_libraries_alone(store: Store) -> None:
    events: list[Event] = []
    outcomes = by_slot(run_graph(two_targets(), store, on_event=events.append))
    assert [outcome.status for outcome in outcomes.values()] == ["ran"] * 4
    made = outcomes["training/artifacts"].artifact
    assert made is not None
    assert (made.path / "text").read_text() == "1.19.2, no pydantic, preloaded=True"
    assert not [event for event in events if isinstance(event, Provisioning)]  # it is there


@pytest.mark.usefixtures("training_python")
def test_a_crash_in_the_toolchain_fails_one_step_and_the_next_one_runs(store: Store) -> None:
    builder = GraphBuilder()
    crash = builder.add(InToolchain("crash"), {}, "crash")
    exits = builder.add(InToolchain("exit"), {}, "exit")
    whole = builder.add(InToolchain("versions"), {}, "whole")
    outcomes = run_graph(builder.build(), store, jobs=1, keep_going=True)
    assert [outcomes[name].status for name in (crash, exits, whole)] == ["failed", "failed", "ran"]
    error, log = outcomes[crash].error, outcomes[crash].log
    assert error is not None and error.exit_code == 4 and log is not None
    assert error.what == "step 'in-toolchain' failed for crash"
    assert error.why is not None and error.why.startswith("its process died of SIGSEGV")
    assert error.where == str(log)
    assert "Segmentation fault" in log.read_text() and "do_crash" in log.read_text()
    ended = outcomes[exits].error
    assert ended is not None and str(ended.why).startswith("its process ended with status 7")


def test_keys_have_the_versions_of_the_lock_and_need_no_toolchain(unmade: Path) -> None:
    tools = describe(InToolchain("versions"), {}).tools
    assert tools == {
        **pins("training"),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    assert tools["onnxruntime-training-cpu"] == "1.19.2"
    assert "pytest" not in tools  # it is in this environment
    assert describe(Tooled("x"), {}).tools.keys() == {"pytest", "python"}
    assert not unmade.exists()


def test_what_is_cached_needs_no_toolchain(
    store: Store, training_python: Path, request: pytest.FixtureRequest
) -> None:
    assert training_python.exists()
    run_graph(two_targets(), store)
    unmade: Path = request.getfixturevalue("unmade")
    events: list[Event] = []
    outcomes = run_graph(two_targets(), store, on_event=events.append)
    assert {outcome.status for outcome in outcomes.values()} == {"cached"}
    assert not unmade.exists() and not [e for e in events if isinstance(e, Provisioning)]


def test_a_toolchain_that_cannot_be_made_fails_its_steps_and_no_other(
    store: Store, unmade: Path
) -> None:
    events: list[Event] = []
    done = run_graph(two_targets(), store, keep_going=True, on_event=events.append)
    outcomes = by_slot(done)
    assert {slot: outcome.status for slot, outcome in outcomes.items()} == {
        "training/export": "ran",
        "training/artifacts": "failed",
        "training/proof": "skipped",
        "other/export": "ran",
    }
    error = outcomes["training/artifacts"].error
    assert error is not None and error.exit_code == 4
    assert error.what == "the training toolchain could not be installed"
    assert outcomes["training/proof"].blocked_by == "training/artifacts"
    said = [event.text for event in events if isinstance(event, Provisioning)]
    assert len(said) == 1 and said[0].startswith("making the training toolchain, once for this")
    # Before anything starts: nothing measures or fights for memory meanwhile.
    started = next(i for i, event in enumerate(events) if isinstance(event, StepStarted))
    assert any(isinstance(event, Provisioning) for event in events[:started])


@pytest.mark.usefixtures("unmade")
def test_without_keep_going_no_step_starts_when_the_toolchain_cannot_be_made(
    store: Store, notes: Callable[[], list[str]]
) -> None:
    outcomes = by_slot(run_graph(two_targets(), store))
    assert outcomes["training/artifacts"].status == "failed"
    assert outcomes["training/export"].status == "not started"
    assert notes() == []
