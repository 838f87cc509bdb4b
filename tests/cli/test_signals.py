"""How a verb ends that is told to: exit code 130, everything cleared up, never a traceback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = (
    "import sys; from pathlib import Path; from olive_build.cli import main;"
    f"main(sys.argv[1:], [Path({str(HERE / 'rooms')!r})])"
)
OWN_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def start(
    *words: str | Path,
    before: Sequence[str] = (),
    program: Sequence[str] = ("-c", PROGRAM),
    cwd: Path | None = None,
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*before, sys.executable, *program, "wait", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def said(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=20)
    return (out + err).split()


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_one_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path / "done")
    process.send_signal(number)
    assert said(process) == ["interrupted"]
    assert process.returncode == 130
    assert (tmp_path / "done").exists()


def test_a_signal_while_code_in_a_text_runs_ends_it_as_any_other(tmp_path: Path) -> None:
    """Python would else end by SIGINT, whatever exit code a module gives that `-m` runs."""
    (tmp_path / "program.py").write_text(PROGRAM)
    process = start("--how", "text", tmp_path / "done", program=("-m", "program"), cwd=tmp_path)
    time.sleep(0.5)  # it is in the text by then
    process.send_signal(signal.SIGTERM)
    assert said(process) == ["interrupted"]
    assert process.returncode == 130


@pytest.mark.parametrize("second", ENDING, ids=lambda number: number.name)
def test_a_second_signal_disturbs_nothing(tmp_path: Path, second: signal.Signals) -> None:
    process = start(tmp_path / "done")
    for number in (signal.SIGINT, second, second):
        process.send_signal(number)
        time.sleep(0.1)
    assert said(process) == ["interrupted"]
    assert process.returncode == 130
    assert (tmp_path / "done").exists()


def test_a_later_one_ends_what_hangs(tmp_path: Path) -> None:
    process = start("--how", "hang", tmp_path / "done")
    process.send_signal(signal.SIGINT)
    time.sleep(5.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (130, "", "")


def test_what_fails_in_clearing_up_is_no_error_of_its_own(tmp_path: Path) -> None:
    process = start("--how", "fails", tmp_path / "done")
    process.send_signal(signal.SIGINT)
    assert said(process) == ["interrupted"]
    assert process.returncode == 130


def test_what_is_to_live_on_without_its_terminal_does(tmp_path: Path) -> None:
    process = start(tmp_path / "done", before=["nohup"])
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_terminal_that_closes_ends_it(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL + PROGRAM, "wait", str(tmp_path / "done")],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    assert os.read(leader, 100).strip() == b"ready"
    os.close(leader)
    assert process.wait(20) == 130
    assert (tmp_path / "done").exists()


def test_the_end_of_a_file_is_no_interruption(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "wait", "--how", "eof", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "this is a bug of olive-build: EOFError: the file ends here" in done.stderr
    assert "interrupted" not in done.stderr
