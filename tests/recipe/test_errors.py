"""What a person reads for every mistake: errors/<case>.yaml with the golden text beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from golden import assert_golden

from olive_build.recipe.diagnostics import Code, RecipeErrors, render_all
from olive_build.recipe.load import load_recipe

ERRORS = Path(__file__).parent / "errors"
CASES = sorted(path.stem for path in ERRORS.glob("[!_]*.yaml"))


def rendered(path: Path) -> str:
    try:
        return render_all(load_recipe(path).warnings, str(path))
    except RecipeErrors as errors:
        return errors.render()


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ERRORS)
    assert_golden(ERRORS / f"{case}.txt", rendered(ERRORS / f"{case}.yaml") + "\n")


@pytest.mark.parametrize("case", CASES)
def test_every_diagnostic_is_complete(case: str) -> None:
    try:
        found = load_recipe(ERRORS / f"{case}.yaml").warnings
    except RecipeErrors as errors:
        found = errors.diagnostics
    assert found
    for item in found:
        assert item.file and item.line >= 1 and item.column >= 1 and item.length >= 1
        assert item.hint and item.message
        assert re.fullmatch(r"[RW]\d{3}", item.code)


def test_each_code_is_met_by_a_case() -> None:
    texts = " ".join(path.read_text(encoding="utf-8") for path in ERRORS.glob("*.txt"))
    missing = {code.name for code in Code if f"[{code.value}]" not in texts}
    assert not missing


def test_every_golden_text_has_its_recipe() -> None:
    made = {path.stem for path in ERRORS.glob("made-*.txt")}
    assert {path.stem for path in ERRORS.glob("*.txt")} == set(CASES) | made
