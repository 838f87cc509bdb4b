"""Workers crash, print, allocate and keep the network off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_steps import Join, Odd

from olive_build.engine.events import Outcome
from olive_build.engine.fingerprint import describe
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.run import run_graph
from olive_build.engine.store import Store
from olive_build.engine.workers import Worker
from olive_build.errors import StepError


def run_odd(store: Store, how: str, number: int = 0) -> Outcome:
    """Run one odd step."""
    builder = GraphBuilder()
    builder.add(Odd(how, number), {}, f"odd/{how}")
    (outcome,) = run_graph(builder.build(), store).values()
    return outcome


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("crash", "its process died of SIGSEGV"),
        ("exit", "its process ended with status 7"),
        ("fill", "OSError: [Errno 27] File too large"),
        ("missing", "AttributeError"),
    ],
)
def test_a_step_that_dies_or_fails_is_named(store: Store, how: str, why: str) -> None:
    outcome = run_odd(store, how)
    assert outcome.status == "failed" and outcome.error is not None
    assert outcome.error.what == f"step 'odd' failed for odd/{how}"
    assert outcome.error.why is not None and outcome.error.why.startswith(why)
    assert outcome.error.where == str(outcome.log)


def test_a_native_crash_leaves_its_stack_in_the_log_and_others_go_on(store: Store) -> None:
    builder = GraphBuilder()
    crash = builder.add(Odd("crash"), {}, "crash")
    for name in "abc":
        builder.add(Join(name), {}, name)
    outcomes = run_graph(builder.build(), store, jobs=1, keep_going=True)
    assert [o.status for o in outcomes.values()] == ["failed", "ran", "ran", "ran"]
    log = outcomes[crash].log
    assert log is not None
    assert "Segmentation fault" in log.read_text() and "do_crash" in log.read_text()


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("nothing", "step 'odd' wrote no file"),
        ("link", "step 'odd' wrote link, which is not a plain file"),
    ],
)
def test_what_cannot_be_kept_is_an_error(store: Store, how: str, what: str) -> None:
    outcome = run_odd(store, how)
    assert outcome.status == "failed" and outcome.error is not None
    assert outcome.error.what == what
    assert not list(store.root.glob("artifacts/*/*"))


def test_prints_go_to_the_log_whoever_prints(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run_odd(store, "flood")
    assert outcome.status == "ran" and outcome.log is not None
    text = outcome.log.read_text()
    assert text.count("x" * 1000) == 2000 and "y" * 1_000_000 in text
    assert "from C" in text
    assert capfd.readouterr() == ("", "")


def test_peak_memory_is_that_of_the_step(store: Store) -> None:
    builder = GraphBuilder()
    big = builder.add(Odd("allocate", 400), {}, "big")
    small = builder.add(Odd("allocate", 200), {"after": big}, "small")
    outcomes = run_graph(builder.build(), store)
    peaks = [outcomes[name].peak_bytes for name in (big, small)]
    assert peaks[0] is not None and peaks[1] is not None
    assert 400e6 < peaks[0] < 450e6
    assert 200e6 < peaks[1] < 250e6


def test_workers_stay_warm_and_their_switches_are_set(store: Store) -> None:
    builder = GraphBuilder()
    first = builder.add(Odd("pid", 1), {}, "one")
    second = builder.add(Odd("pid", 2), {}, "two")
    outcomes = run_graph(builder.build(), store, jobs=1)
    folders = [_folder(outcomes[name]) for name in (first, second)]
    assert (folders[0] / "pid").read_text() == (folders[1] / "pid").read_text()
    variables = (folders[0] / "environment").read_text().splitlines()
    for switch in ("HF_HUB_OFFLINE=1", "ORT_DISABLE_TELEMETRY=1", "PYTHONHASHSEED=0"):
        assert switch in variables


def _folder(outcome: Outcome) -> Path:
    assert outcome.artifact is not None
    return outcome.artifact.path


def test_a_kind_that_is_none_of_our_steps_says_so(tmp_path: Path) -> None:
    """A worker looks a kind up, whoever asks; here one asks that made no plan."""
    scratch, log = tmp_path / "scratch", tmp_path / "log"
    scratch.mkdir()
    worker = Worker("tiny", log, scratch)
    asked = replace(describe(Odd("nothing"), {}), kind="os:system")
    try:
        with pytest.raises(StepError) as caught:
            worker.run(asked, {}, tmp_path, log, "slot", print)
    finally:
        worker.end()
    assert caught.value.why == "LookupError: 'os' is in no room of olive_build"
