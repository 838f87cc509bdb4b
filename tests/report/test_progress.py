"""What a build prints as it goes: live and coloured on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from olive_build.engine.events import Outcome, RunStarted, StepFinished, StepStarted
from olive_build.engine.explain import Plain
from olive_build.report.building import Progress
from olive_build.report.numbers import megabytes
from olive_build.report.style import paint, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(to_stderr=False)
    progress.show(RunStarted(3))
    progress.show(StepStarted("r/export", "export", Plain.FIRST_RUN))
    progress.show(
        StepFinished(Outcome("1", "r/export", "ran", seconds=1.25, peak_bytes=10_000_000))
    )
    progress.show(StepFinished(Outcome("2", "r/fuse", "cached")))
    progress.show(StepFinished(Outcome("3", "r/int8", "skipped", blocked_by="r/fuse")))
    progress.close()
    assert (progress.ran, progress.cached) == (1, 1)
    return stream.getvalue()


def test_elsewhere_it_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, io.StringIO())
    assert "\x1b" not in text and "\r" not in text
    lines = [line.split() for line in text.splitlines()]
    assert lines == [
        [*"1 of 3 ran r/export 1.2 s 10.0 MB peak".split()],
        [*"3 of 3 skipped r/int8 after r/fuse".split()],
    ]


def test_a_long_name_is_whole_and_the_last_step_is_told_though_it_was_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    progress = Progress(to_stderr=False)
    progress.show(RunStarted(2))
    name = "recipe/fused/int8/decoder_with_past/separate-projection"
    progress.show(StepFinished(Outcome("1", name, "ran", seconds=1.25, peak_bytes=10_000_000)))
    progress.show(StepFinished(Outcome("2", "recipe/fuse", "cached")))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].endswith(name) and lines[1].endswith("1.2 s   10.0 MB peak")
    assert lines[-1].split() == "2 of 2 cached recipe/fuse".split()


def test_on_a_terminal_it_shows_what_runs_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = shown(monkeypatch, Terminal())
    assert "\r\x1b[2K   0 of 3  0:00  r/export 0:00" in text
    assert "\x1b[32mran" in text
    assert text.endswith("\r\x1b[2K")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in shown(monkeypatch, Terminal())


def test_columns_line_up() -> None:
    assert table([["name", "MB"], ["a", "1.0"], ["longer", "10.0"]], right=(1,)) == [
        "name      MB",
        "------  ----",
        "a        1.0",
        "longer  10.0",
    ]


def test_a_table_fits_80_columns_and_loses_nothing() -> None:
    name = "/encoder/layer.0/attention/self/query/MatMul"
    rows = [
        ["layer", "own noise", "what is said of it", "size"],
        [name, "31.2 dB", "it is left in fp32, since it would lose too much", "400.0 kB"],
    ]
    lines = table(rows, right=(1,))
    assert max(map(len, lines)) <= 80
    assert any(name in line and "31.2 dB" in line for line in lines)
    assert len(lines) > 4 and "too much" in "\n".join(lines)
    longer = table([["layer", "damage"], ["/" + "x" * 100, "1.2e-04"]])
    assert max(map(len, longer)) <= 80 and "".join(longer).count("x") == 100
    assert len(table(rows, width=200)) == 3


@pytest.mark.parametrize(
    ("size", "text"), [(999, "1.0 kB"), (99_999, "100.0 kB"), (23_236_063, "23.2 MB")]
)
def test_a_megabyte_is_a_million_bytes(size: int, text: str) -> None:
    assert megabytes(size) == text


def test_paint_without_a_terminal_changes_nothing() -> None:
    assert paint("text", "red", io.StringIO()) == "text"
