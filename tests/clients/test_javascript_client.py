"""How a client's program is asked, heard and ended, whatever it does."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.clients import javascript_client
from olive_build.clients.client_packages import (
    PROGRAMS,
    clients_folder,
    find_chromium,
    require_chromium,
    require_clients,
)
from olive_build.clients.javascript_client import ChromiumClient, NodeClient, Request
from olive_build.clients.web_server import serving
from olive_build.errors import StepError

needs_chromium = pytest.mark.skipif(
    clients_folder() is None or find_chromium() is None,
    reason="transformers.js or Chromium is not installed here; run `make clients`",
)
ASKED = [Request(("One",))]
# What splitlines takes for the ends of lines, and JSON does not.
TEXT = "a\u2028b\u2029c\x85d"
ANSWER = {"dtype": "fp32", "device": "cpu", "load_ms": 1.0, "results": [{"texts": [TEXT]}]}
# It tidies up when it is told to end.
TIDY = """
def tidy(*_):
    (here / "tidied").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, tidy)
(here / "started").touch()
time.sleep(600)
"""
# It does not end when it is told to, nor does what it started; either holds the lock.
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = (here / "lock").open("w")
fcntl.flock(lock, fcntl.LOCK_EX)
subprocess.Popen(["sleep", "600"], pass_fds=[lock.fileno()])
(here / "started").touch()
time.sleep(600)
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program in the place of Node; `here` is its folder, which is returned."""
    (tmp_path / ".ready").touch()
    monkeypatch.setenv("OLIVE_BUILD_CLIENTS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(javascript_client, "GRACE_SECONDS", 1.0)

    def write(program: str) -> Path:
        path = tmp_path / "node"
        names = "fcntl, pathlib, signal, subprocess, sys, time"
        begin = f"#!{sys.executable}\nimport {names}\nhere = pathlib.Path(__file__).parent\n"
        path.write_text(begin + textwrap.dedent(program), encoding="utf-8")
        path.chmod(0o755)
        return tmp_path

    return write


def test_a_text_may_have_what_ends_lines_elsewhere(node: Callable[[str], Path]) -> None:
    said = f"a warning\n{json.dumps(ANSWER, ensure_ascii=False)}\n".encode()
    folder = node(f"sys.stdout.buffer.write({said!r})")
    assert NodeClient().ask(folder, ASKED).results[0].texts == (TEXT,)


@pytest.mark.parametrize("said", ["", "\n", "hello", '{"dtype": '])
def test_no_answer_is_explained(node: Callable[[str], Path], said: str) -> None:
    folder = node(f"print({said!r}, end='')")
    with pytest.raises(StepError, match="node gave no answer that can be read") as caught:
        NodeClient().ask(folder, ASKED)
    assert caught.value.where == str(folder)


def test_a_program_that_takes_too_long_may_tidy_up(node: Callable[[str], Path]) -> None:
    folder = node(TIDY)
    with pytest.raises(StepError, match="did not answer in 2 seconds"):
        NodeClient().ask(folder, ASKED, timeout=2)
    assert (folder / "started").exists()
    assert (folder / "tidied").exists()


def test_nothing_is_left_of_a_program_that_does_not_end(node: Callable[[str], Path]) -> None:
    folder = node(STUBBORN)
    with pytest.raises(StepError, match="did not answer in 2 seconds"):
        NodeClient().ask(folder, ASKED, timeout=2)
    assert (folder / "started").exists()
    with (folder / "lock").open() as lock:
        end = time.monotonic() + 10
        while True:  # until the last of them is gone
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < end
                time.sleep(0.05)


@needs_chromium
def test_no_profile_is_left_of_a_browser_that_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, bundle = tmp_path / "clients", tmp_path / "bundle"
    for folder in (programs / "browser", bundle):
        folder.mkdir(parents=True)
    page = "<script>window.answer = () => new Promise(() => {})</script>"
    (programs / "browser" / "page.html").write_text(page, encoding="utf-8")
    (programs / "requests.mjs").touch()
    monkeypatch.setattr(javascript_client, "PROGRAMS", programs)
    # Not tmp_path: Chromium's socket lies there too, and its path may have 107 characters.
    with tempfile.TemporaryDirectory() as profiles:
        monkeypatch.setenv("TMPDIR", profiles)
        with pytest.raises(StepError, match="did not answer in 5 seconds"):
            ChromiumClient().ask(bundle, ASKED, timeout=5)
        assert list(Path(profiles).glob("playwright*")) == []


@needs_chromium
def test_an_error_without_a_word_ends_the_page(tmp_path: Path) -> None:
    page = (PROGRAMS / "browser" / "page.html").read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "page.mjs").write_text("throw new Error('');", encoding="utf-8")
    with serving({"/": tmp_path}) as server:
        program = ["--preserve-symlinks-main", str(require_clients() / "drive.mjs")]
        done = subprocess.run(
            ["node", *program, require_chromium(), f"{server.url}/page.html"],
            input="{}",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "error: " in done.stderr
