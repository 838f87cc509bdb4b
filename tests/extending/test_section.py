"""A section of a folder that a program joins is one like ours: read, checked and resolved."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extending.test_figure import ran
from tests.extending.test_verb import called

RECIPE = """recipe: 1
name: it
description: A small model
model:
  family: sentence-embedding
  licence: MIT
  source: path
  sources: {path: {folder: model}}
remark: {words: %s}
targets: {desktop: {}, web: {remark: {loud: true}}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "recipes" / "model").mkdir(parents=True)
    path = tmp_path / "recipes" / "it.yaml"
    path.write_text(RECIPE % "small", encoding="utf-8")
    return path


def test_a_target_wins_over_the_recipe_field_by_field(recipe: Path) -> None:
    found = ran(
        "import json\n"
        "from dataclasses import asdict\n"
        "from olive_build.recipe.load import load_recipe\n"
        "from olive_build.recipe.resolve import resolve_all\n"
        "from olive_build.recipe.sections.remark import Remark\n"
        f"builds = resolve_all(load_recipe(Path({str(recipe)!r})))\n"
        "print(json.dumps([asdict(build.section(Remark)) for build in builds]))"
    )
    assert found == [{"words": "small", "loud": False}, {"words": "small", "loud": True}]


def test_its_faults_are_the_recipes(recipe: Path, tmp_path: Path) -> None:
    assert called("validate", str(recipe)).returncode == 0
    alone = called("validate", str(recipe), folder=tmp_path)
    assert (alone.returncode, "unknown field 'remark'" in alone.stderr) == (2, True)
    recipe.write_text(RECIPE % "1", encoding="utf-8")
    assert "'remark.words' must be text" in called("validate", str(recipe)).stderr
    recipe.write_text(RECIPE % '"a\\nb"', encoding="utf-8")
    refused = called("validate", str(recipe)).stderr
    assert "a remark is one line" in refused and "it.yaml:9:" in refused


def test_the_schema_and_the_docs_have_it() -> None:
    found = ran(
        "import json\n"
        "from olive_build.recipe.docs import PAGE, page\n"
        "from olive_build.recipe.schema import recipe_schema\n"
        "schema = recipe_schema()\n"
        "target = schema['$defs']['TargetSpec']['properties']['remark']['description']\n"
        "about = schema['properties']['remark']['description']\n"
        "text = page(PAGE.read_text()).partition('### remark')[2]\n"
        "print(json.dumps([about, target, text]))"
    )
    assert found[:2] == [
        "What its author says of a model; for all families.",
        "Wins over the recipe's `remark`, field by field.",
    ]
    assert "| `loud` | true or false | - | Whether it is shouted." in found[2]
