"""`make bench`: a part that fails is a missed figure with its reason; the others are measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import bench  # noqa: E402
import figures  # noqa: E402

GOOD = figures.Figure("a good one, s", 1.0, 2.0, "at most")
SLOW = figures.Figure("a slow one, s", 3.0, 2.0, "at most")


def fails(_: bench.Bench) -> list[figures.Figure]:
    raise figures.Failed("olive-build build ended with code 5:\nbudget missed")


def is_wrong(_: bench.Bench) -> list[figures.Figure]:
    return {}["quality"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    return tmp_path


def run(
    monkeypatch: pytest.MonkeyPatch, parts: dict[str, object], *arguments: str
) -> tuple[int, dict[str, list[dict[str, object]]]]:
    monkeypatch.setattr(bench, "PARTS", parts)
    code = bench.main(arguments)
    return code, json.loads((bench.ROOT / "outputs" / "bench.json").read_text())


def test_a_part_that_fails_is_missed_and_the_others_are_measured(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"search": fails, "vision": is_wrong, "start": lambda _: [GOOD]}
    code, report = run(monkeypatch, parts)
    assert code == 1
    assert [figure["what"] for figure in report["figures"]] == ["a good one, s"]
    assert report["missing"] == [
        {"part": "search", "reason": "olive-build build ended with code 5:\nbudget missed"},
        {"part": "vision", "reason": "KeyError: 'quality'"},
    ]
    out = capsys.readouterr().out
    assert "ok   a good one, s" in out
    assert "MISS search: not measured; olive-build build ended with code 5:\nbudget missed" in out
    assert "MISS vision: not measured; KeyError: 'quality'" in out


@pytest.mark.parametrize(("figure", "code"), [(GOOD, 0), (SLOW, 1)])
def test_the_exit_code_says_whether_a_goal_was_missed(
    root: Path, monkeypatch: pytest.MonkeyPatch, figure: figures.Figure, code: int
) -> None:
    found, report = run(monkeypatch, {"start": lambda _: [figure]})
    assert (found, report["missing"]) == (code, [])


def test_only_what_is_asked_for_is_measured(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"search": fails, "start": lambda _: [GOOD]}
    assert run(monkeypatch, parts, "--only", "start")[0] == 0


def test_a_part_that_there_is_not_is_a_usage_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, {"start": fails}, "--only", "star")
    assert stopped.value.code == 2
    assert "there is no part 'star'; there are start" in capsys.readouterr().err


def test_a_command_that_fails_says_what_it_printed() -> None:
    with pytest.raises(figures.Failed, match=r"(?s)validate no-such ended with code 2:.*no-such"):
        figures.finished(["validate", "no-such"], {})
    command = [sys.executable, "-c", "import sys; sys.exit('a reason')"]
    with pytest.raises(figures.Failed, match="ended with code 1:\na reason"):
        figures.timed(command, {})


def test_every_part_has_a_name_by_which_it_can_be_chosen() -> None:
    assert set(bench.PARTS) == {
        *("cold", "search", "speed", "vision", "attribution"),
        *("whisper", "generation", "noop", "start"),
        *("training", "training-size"),
    }
