"""Printing: the manner, the order, the counts, what a terminal is spared."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.recipe.diagnostics import Code, Diagnostic, RecipeErrors, Report, render_all
from olive_build.recipe.load import load_recipe
from olive_build.recipe.tree import Span, source_of

Write = Callable[..., Path]


def diagnostic(line: str, column: int, length: int, hint: str = "here") -> Diagnostic:
    report = Report()
    source = source_of(line, "it.yaml", None)
    report.add(Code.BAD_VALUE, "wrong", Span(source, 1, column, length), hint=hint)
    return report.sorted()[0]


def test_the_manner_of_a_diagnostic(written: Write) -> None:
    text = "\n" * 24 + "extends: _base.yaml\nname: it\nquantize:\n  blok_size: 32\n"
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(written(text))
    wanted = """\
error[R001]: unknown field 'quantize.blok_size'
  --> it.yaml:28:3
   |
27 | quantize:
28 |   blok_size: 32
   |   ^^^^^^^^^ did you mean 'block_size'?
   |
   = fields accepted here: """
    assert wanted in caught.value.render()


def test_files_outside_the_current_folder_are_given_in_full(
    written: Write, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("recipe: 1\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(path)
    assert f"--> {path}:1:1" in caught.value.render()


def test_control_characters_are_shown_as_escapes() -> None:
    text = diagnostic("a\tb\u202ec: x", 4, 1, hint="\x1b[31m").render()
    assert "a\\tb\\u202ec: x" in text
    assert "\\x1b[31m" in text
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    caret = text.splitlines()[-1]
    assert caret.index("^") == len("  | ") + len("a\\tb")


def test_carets_stand_below_wide_characters() -> None:
    caret = diagnostic("日本: 例文", 5, 2).render().splitlines()[-1]
    assert caret == "  |       ^^^^ here"


def test_long_lines_are_cut_round_the_caret() -> None:
    lines = diagnostic("x" * 500 + "bad" + "y" * 500, 501, 3).render().splitlines()
    assert max(len(line) for line in lines) < 120
    shown, caret = lines[-2], lines[-1]
    start = caret.index("^")
    assert shown[start : start + 3] == "bad"


def test_counts() -> None:
    report = Report()
    source = source_of("a\nb\nc", "it.yaml", None)
    for line, code in ((3, Code.LOOSE_BUDGET), (2, Code.BAD_VALUE), (1, Code.BAD_VALUE)):
        report.add(code, "wrong", Span(source, line, 1), hint="do")
    found = report.sorted()
    assert [item.line for item in found] == [1, 2, 3]
    text = render_all(found, "it.yaml")
    assert text.endswith("\n\n2 errors, 1 warning in it.yaml")
    assert text.count("\n\n") == 3


def test_the_same_thing_is_said_once() -> None:
    report = Report()
    span = Span(source_of("a", "it.yaml", None), 1, 1)
    report.add(Code.BAD_VALUE, "wrong", span, hint="do")
    report.add(Code.BAD_VALUE, "wrong", span, hint="do")
    assert len(report.sorted()) == 1


def test_errors_travel_between_processes_and_as_json(written: Write) -> None:
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(written("recipe: 1\n"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.render() == caught.value.render()
    data = caught.value.as_json()
    assert data["exit_code"] == 2
    assert data["diagnostics"][0]["code"] == "R003"
