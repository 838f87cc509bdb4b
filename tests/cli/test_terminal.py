"""What any name holds is shown and does nothing: everything goes to the terminal by one way."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from olive_build.report.style import CODES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROGRAM = (
    "import sys; from pathlib import Path; from olive_build.cli import main;"
    f"main(sys.argv[1:], [Path({str(HERE / 'rooms')!r})])"
)
# Title, clear, colours, bell, back and over, direction, invisible, half a character, 8-bit escape.
HOSTILE = "a\x1b]0;pwned\x07\x1b[2J\x1b[31m\r\b\u202e\u2066\u200b\ud800\x9b2J\x7f z"


def assert_harmless(text: str) -> None:
    for sign in "\x1b\x07\b\u202e\u2066\u200b\x9b\x7f":
        assert sign not in text, repr(text)


def run(*words: str, given: str = "") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(
        command, input=given.encode("utf-8", "surrogateescape"), capture_output=True, check=False
    )


def test_what_a_verb_prints_and_its_errors_are_escaped(tmp_path: Path) -> None:
    given = HOSTILE.replace("\ud800", "") + "\nä\té"
    done = run("wait", "--how", "names", str(tmp_path), given=given)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert_harmless(out + err)
    assert "\\x1b]0;pwned\\x07" in out
    assert "ä\té" in out
    assert "\\u202e" in out
    assert "a\\x1b[2Jb\\u202ec" in err


VERBS = "build explain plan validate verify diff bench report serve train".split()


@pytest.mark.parametrize("verb", VERBS)
def test_names_that_are_not_found_are_escaped(verb: str) -> None:
    name = HOSTILE.replace("\ud800", "")
    words = [verb, name, name] if verb == "diff" else [verb, name]
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", *words], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode in (2, 6)
    assert_harmless((done.stdout + done.stderr).decode())


def test_an_option_that_does_not_exist_is_escaped() -> None:
    done = run(f"--{HOSTILE[:12]}")
    assert done.returncode == 2
    assert_harmless((done.stdout + done.stderr).decode())


def test_on_a_terminal_our_colours_alone_are_codes(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    code = (
        "from olive_build.cli import _terminal; _terminal.take_over()\n"
        "from olive_build.report.style import CODES, paint\n"
        "for name in CODES: print(paint(name, name))\n"
        f"print({HOSTILE!r}); print('\\r\\x1b[2Kx')"
    )
    variables = {n: v for n, v in os.environ.items() if n != "NO_COLOR"} | {"TERM": "xterm"}
    subprocess.run(
        [sys.executable, "-c", code], stdout=follower, cwd=ROOT, env=variables, check=True
    )
    os.close(follower)
    text = os.read(leader, 10_000).decode()
    os.close(leader)
    for name, number in CODES.items():
        painted = f"\x1b[{number}m{name}\x1b[0m"
        assert painted in text
        text = text.replace(painted, "")
    assert "\r\x1b[2Kx" in text
    assert_harmless(text.replace("\r\x1b[2Kx", "").replace("\x1b[31m", ""))
    assert "\\ud800" in text


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "olive_build", "validate", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_below_the_output_is_no_bug() -> None:
    command = [sys.executable, "-m", "olive_build", "list"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: what is to be shown cannot be written\n")
