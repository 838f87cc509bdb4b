"""`quantize: auto` through the command line: searched once, remembered, written out, repeatable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from tiny_recipe import RECIPE, Project

SEARCHED = (
    RECIPE.replace(
        "targets:\n",
        "variants:\n  small:\n    quantize: {method: auto, max_minutes: 5}  # the fastest\n"
        "targets:\n",
    )
    .replace("variants: [int8]", "variants: [small]")
    .replace("verify:\n", "verify:\n  budgets:\n    small: {cosine_p1: 0.5, slowdown: 50}\n")
)


def test_a_search_is_run_once_and_written_as_a_plain_recipe(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    tiny = new_project()
    tiny.write_recipe(SEARCHED)
    written = tmp_path / "tiny.yaml"
    first = tiny.run("build", "tiny", "--target", "desktop", "--write-recipe", str(written))
    assert first.code == 0, first.err
    assert re.search(r"search tiny/desktop/small: chose \S+-int8", first.out)
    candidates = [line for line in first.out.splitlines() if re.match(r" +\d+ s  ", line)]
    assert len(candidates) >= 2

    again = tiny.run("build", "tiny", "--target", "desktop")
    assert again.code == 0
    assert " 0 ran" in again.out
    assert not [line for line in again.out.splitlines() if re.match(r" +\d+ s  ", line)]

    proof = json.loads((tiny.folder / "outputs/tiny/desktop/proof.json").read_text("utf-8"))
    search = proof["variants"]["small"]["search"]
    assert [item["chosen"] for item in search["candidates"]].count(True) == 1
    assert search["holds"] is True

    kept = {path: path.read_text() for path in tiny.cache.glob("v1/searches/*.json")}
    for path, text in kept.items():
        path.write_text(text.replace('"holds":true', '"holds":false'))
    told = tiny.run("plan", "tiny", "--target", "desktop")
    assert "searched when it is built" in told.out + told.err, "what was changed is not believed"
    for path, text in kept.items():
        path.write_text(text)

    text = written.read_text(encoding="utf-8")
    assert "auto" not in text
    assert "method: " in text
    (tiny.folder / "recipes" / "tiny.yaml").write_text(text, encoding="utf-8")
    plain = tiny.run("build", "tiny", "--target", "desktop", "--json")
    assert plain.code == 0
    # The same steps: nothing is built again but what names the variant's method.
    ran = [step["slot"] for step in plain.json["steps"] if step["status"] == "ran"]
    assert ran == []


def test_there_must_be_something_to_write(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    tiny = new_project()
    tiny.write_recipe()
    result = tiny.run("build", "tiny", "--write-recipe", str(tmp_path / "x.yaml"))
    assert result.code == 2
    assert "the recipe leaves nothing to a search" in result.err
    assert not (tmp_path / "x.yaml").exists()


def test_a_plan_says_that_a_search_comes_first(new_project: Callable[..., Project]) -> None:
    tiny = new_project()
    tiny.write_recipe(SEARCHED.replace("cosine_p1: 0.5", "cosine_p1: 0.51"))
    result = tiny.run("plan", "tiny", "--target", "desktop")
    assert result.code == 0, result.err
    assert "search tiny/desktop/small: searched when it is built, up to 5 minutes" in (
        result.out + result.err
    )
