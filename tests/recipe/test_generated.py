"""The committed schema and catalogue are those that the code and the pinned Olive give."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from olive_build.recipe.catalogue import CATALOGUE_FILE, load_catalogue
from olive_build.recipe.load import load_recipe
from olive_build.recipe.schema import recipe_schema, schema_text

REPOSITORY = Path(__file__).parents[2]
RECIPES = sorted((REPOSITORY / "recipes").glob("[!_]*.yaml"))


def test_the_schema_is_fresh() -> None:
    committed = (REPOSITORY / "recipes" / "recipe.schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), (
        "run python -m olive_build.recipe.schema > recipes/recipe.schema.json"
    )


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(recipe_schema())


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_fit_the_schema_and_name_it(path: Path) -> None:
    document = load_recipe(path).positions.plain()
    jsonschema.Draft202012Validator(recipe_schema()).validate(document)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=recipe.schema.json"


@pytest.mark.parametrize(
    "change",
    [
        {"targets": {"desk": {}}},
        {"targets": {"ios": {"provider": "xnnpack"}, "web": {"formats": ["ort"]}}},
        {"quantize": {"method": "dynamic-int8", "per_chanel": True}},
        {"passes": [{"pass": "OnnxPeepholeOptimizer"}]},
        {"model": {"licence": "MIT"}},
        {"recipe": 2},
        {"train": {"epoch": 3}},
        {"train": {"optimizer": {"method": "sgd", "momentum": 0.9}}},
        {"train": {"optimizer": {"method": "adamw", "betas": [0.9]}}},
        {"train": {"loss": {"method": "mse", "class_weights": [1, 2]}}},
        {"train": {"head": {"replace": "classifier", "classes": 0}}},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(
    shipped: Path, change: dict[str, object]
) -> None:
    document = load_recipe(shipped).positions.plain()
    assert isinstance(document, dict)
    validator = jsonschema.Draft202012Validator(recipe_schema())
    assert not validator.is_valid({**document, **change})


def test_every_field_says_its_effect() -> None:
    schema = recipe_schema()
    for name, model in {"Recipe": schema, **schema["$defs"]}.items():
        for field, entry in model.get("properties", {}).items():
            assert entry.get("description") or "$ref" in entry, f"{name}.{field}"


def test_the_catalogue_is_fresh() -> None:
    pytest.importorskip("olive")
    done = subprocess.run(
        [sys.executable, "-m", "olive_build.recipe.catalogue_generate", "--print"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    committed = CATALOGUE_FILE.read_text(encoding="utf-8")
    assert done.stdout.endswith(committed), "run python -m olive_build.recipe.catalogue_generate"
    assert json.loads(committed)["olive-ai"] == load_catalogue().olive_version


def test_the_catalogue_knows_the_passes_that_are_used() -> None:
    passes = load_catalogue().passes
    for name in ("OnnxDynamicQuantization", "OnnxBlockWiseRtnQuantization", "OnnxFloatToFloat16"):
        assert passes[name].accepts == "onnx"
    assert passes["OnnxDynamicQuantization"].options["per_channel"].types == ("bool",)
    assert passes["GptqQuantizer"].accepts == "PyTorch"
