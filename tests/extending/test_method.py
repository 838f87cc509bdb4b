"""A method of a folder that a program joins is one like ours, from the recipe to the bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.extending.test_figure import ran
from tests.extending.test_verb import PROGRAM, TOY, called

RECIPE = """recipe: 1
name: it
description: A small model
model:
  family: sentence-embedding
  licence: MIT
  source: path
  sources: {path: {folder: model}}
variants: {coarse: {quantize: {method: toy-rounding, grid: %s}}}
targets: {desktop: {variants: [coarse]}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "recipes" / "model").mkdir(parents=True)
    path = tmp_path / "recipes" / "it.yaml"
    path.write_text(RECIPE % "0.01", encoding="utf-8")
    return path


def test_a_recipe_may_name_it_where_the_folder_is_joined(recipe: Path, tmp_path: Path) -> None:
    assert called("validate", str(recipe)).returncode == 0, called("validate", str(recipe)).stderr
    alone = called("validate", str(recipe), folder=tmp_path)
    assert (alone.returncode, "cannot be the text 'toy-rounding'" in alone.stderr) == (2, True)


def test_its_fields_and_checks_are_the_languages(recipe: Path) -> None:
    recipe.write_text(RECIPE % "0.01, gird: 1", encoding="utf-8")
    wrong = called("validate", str(recipe)).stderr
    assert "unknown field 'variants.coarse.quantize.gird'" in wrong and "mean 'grid'" in wrong
    recipe.write_text(RECIPE % "-1.0", encoding="utf-8")
    refused = called("validate", str(recipe)).stderr
    assert "no grid has the distance -1" in refused and "it.yaml:9:" in refused


def test_the_schema_and_the_docs_have_it() -> None:
    found = ran(
        "import json\n"
        "from olive_build.recipe.docs import PAGE, page\n"
        "from olive_build.recipe.docs import TABLES\n"
        "from olive_build.recipe.schema import recipe_schema\n"
        "schema = recipe_schema()['$defs']['ToyRoundingSpec']\n"
        "text = page(PAGE.read_text()).partition('### quantize.toy-rounding')[2]\n"
        "print(json.dumps([schema['properties']['grid'], text, TABLES['methods']()]))"
    )
    assert found[0]["default"] == 0.001 and found[0]["type"] == "number"
    assert "| `grid` | number | `0.001` | The distance" in found[1]
    assert any("Weights on a grid" in row for row in found[2])


def test_a_search_climbs_its_ladder_and_remembers_what_it_chose() -> None:
    found = ran(
        "import json\n"
        "from olive_build.engine.fingerprint import from_fields\n"
        "from olive_build.methods import ladders_for, methods\n"
        "from olive_build.search.recipe_writer import as_yaml\n"
        "from olive_build.search.resolve import Choice\n"
        "ladder = ladders_for(('int8',), convolutional=False)[-1]\n"
        "method = ladder.assigned({'a': 0, 'b': 1})\n"
        "told = Choice(method, True, '', ()).as_json()['method']\n"
        "again = from_fields(methods()['toy-rounding'], told)\n"
        "print(json.dumps([ladder.name, again == method, as_yaml(method)]))"
    )
    assert found == ["toy-rounding", True, {"method": "toy-rounding", "exclude": ["b"]}]


def test_a_bundle_is_built_with_it(recipe: Path, tmp_path: Path, shared_cache: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(TOY), "build", str(recipe), "--smoke"]
    command += ["--outputs", str(tmp_path / "out")]
    environment = {**os.environ, "OLIVE_BUILD_CACHE": str(shared_cache)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(
        (tmp_path / "out" / "smoke" / "it" / "desktop" / "manifest.json").read_text()
    )
    made = manifest["variants"]["coarse"]
    settings = {"grid": 0.01, "fit": False, "fold": False, "exclude": []}
    assert made["quantize"] == {**settings, "method": "toy-rounding"}
    assert made["precision"] == "weight-int8"


ODD = '''
from dataclasses import dataclass
from typing import Literal
from olive_build.knobs import knob
from olive_build.methods import Method

@dataclass(frozen=True)
class Odd(Method):
    """A method of a precision that nobody has heard of."""

    method: Literal["odd"] = knob("It has three bits.", "odd")

    @property
    def precision(self) -> str:
        return "int3"
'''


def test_a_precision_that_no_provider_knows_is_the_recipes_error(
    recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "joined" / "methods").mkdir(parents=True)
    (tmp_path / "joined" / "methods" / "odd.py").write_text(ODD, encoding="utf-8")
    text = (RECIPE % "0.01").replace("{method: toy-rounding, grid: 0.01}", "{method: odd}")
    recipe.write_text(text, encoding="utf-8")
    done = called("validate", str(recipe), folder=tmp_path / "joined")
    assert done.returncode == 2, done.stderr
    assert "no provider says whether it runs int3, which 'coarse' is" in done.stderr
    assert "it.yaml:10:" in done.stderr and "they know fp32, fp16" in done.stderr


def test_an_error_that_lists_methods_lists_it(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8").replace("sentence-embedding", "toy-letters")
    recipe.write_text(text.replace("[coarse]", "[coarse, faithful]"), encoding="utf-8")
    refused = called("validate", str(recipe))
    assert refused.returncode == 2
    assert "`stored-int8`, `toy-rounding` or `weight-only`" in refused.stderr
