"""Builds that are killed, interrupted, or run at the same time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.engine.store import Store
from olive_build.engine.upkeep import ls, verify

Notes = Callable[[], list[str]]


def start(seconds: float, *names: str) -> subprocess.Popen[str]:
    """Start a build of a chain in a process of its own."""
    program = str(Path(__file__).with_name("tiny_build.py"))
    command = [sys.executable, program, str(seconds), *names]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(build: subprocess.Popen[str]) -> dict[str, str]:
    """Wait for a build and return each slot's status."""
    out, err = build.communicate(timeout=20)
    assert build.returncode == 0, err
    return {slot: status for slot, (status, _) in json.loads(out).items()}


def wait_for(notes: Notes, line: str) -> None:
    """Wait until a step noted a line."""
    wait_until(lambda: any(note.startswith(line) for note in notes()))


def wait_until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait, but not forever."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_of(notes: Notes, who: str) -> int:
    """Return a process's number from the notes."""
    wait_for(notes, who)
    return int(next(line for line in notes() if line.startswith(who)).split()[1])


def test_a_killed_build_resumes_where_it_was(notes: Notes, tmp_path: Path) -> None:
    build = start(0.3, "a", "b", "c")
    wait_for(notes, "begin b")
    build.kill()
    build.communicate()
    before = notes()
    assert result(start(0.0, "d")) == {"chain/d": "ran", "chain/beside": "cached"}
    left = list((tmp_path / "cache" / "v1" / "tmp").iterdir())
    assert left == [], "what the killed build left is removed by the next"
    assert result(start(0.3, "a", "b", "c"))["chain/a"] == "cached"
    assert before.count("begin a") == notes().count("begin a") == 1
    assert notes().count("begin b") == 2 and notes().count("end b") == 1


def test_builds_killed_at_any_moment_leave_a_store_that_is_whole(notes: Notes) -> None:
    names = [f"step{number}" for number in range(12)]
    for number in range(8):
        build = start(0.0, *names)
        time.sleep(0.15 + 0.03 * number)
        build.kill()
        build.communicate()
    assert set(result(start(0.0, *names))) == {"chain/beside", *(f"chain/{n}" for n in names)}
    with Store() as store:
        assert verify(store) == ()
        assert len(ls(store)) == len(names) + 1


def test_two_builds_at_once_do_each_step_once(notes: Notes) -> None:
    builds = [start(0.2, "a", "b", "c") for _ in range(2)]
    found = [result(build) for build in builds]
    for name in "abc":
        assert notes().count(f"begin {name}") == 1
        assert sorted(r[f"chain/{name}"] for r in found) == ["cached", "ran"]


def test_the_second_build_takes_over_when_the_first_is_killed(notes: Notes) -> None:
    first = start(0.5, "a")
    wait_for(notes, "begin a")
    second = start(0.5, "a")
    time.sleep(0.2)
    first.kill()
    first.communicate()
    assert result(second)["chain/a"] == "ran"
    assert notes().count("end a") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_control_c_ends_everything_within_a_second(notes: Notes) -> None:
    build = start(0.0, "a", "orphan")
    worker, child = pid_of(notes, "worker"), pid_of(notes, "child")
    assert alive(worker) and alive(child)
    started = time.monotonic()
    build.send_signal(signal.SIGINT)
    _, err = build.communicate(timeout=5)
    assert time.monotonic() - started < 1.0
    assert "KeyboardInterrupt" in err
    wait_until(lambda: not alive(worker) and not alive(child), 1.0)
    assert result(start(0.0, "a"))["chain/a"] == "cached"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_and_what_they_started_die_with_a_killed_build(notes: Notes) -> None:
    build = start(0.0, "orphan")
    worker, child = pid_of(notes, "worker"), pid_of(notes, "child")
    build.kill()
    build.communicate()
    try:
        wait_until(lambda: not alive(worker) and not alive(child), 1.0)
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)
