"""How many layers a recipe names: what its miniature must have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.recipe.build import layers_named
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all

HEAD = "extends: _base.yaml\nname: it\n"
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("pattern", "layers"),
    [
        ("encoder.layer.[0-5].output.dense/MatMul", 6),
        ("encoder.layer.[345].attention.*", 6),
        ("encoder.layer.1[01].attention.*", 12),
        ("/model/layers.7/mlp/MatMul", 8),
        ("h.0", 1),
        ("encoder.layer.*.output", 0),
        ("encoder.layer.?.output", 0),
        ("encoder.layer.[!0].output", 0),
        ("node_Attention_5[13]/qkv/MatMul", 0),
        ("layers.9999.output", 0),
    ],
)
def test_the_highest_number_counts(written: Write, pattern: str, layers: int) -> None:
    text = f"variants:\n  int8:\n    quantize: {{method: dynamic-int8, exclude: ['{pattern}']}}\n"
    assert layers_named(resolve_all(load_recipe(written(HEAD + text)))) == layers


@pytest.mark.parametrize(
    "settings",
    [
        "per_token: [layer.3.x]",
        "overrides: [{nodes: [layer.3.x]}]",
        "exclude: [layer.0.x, layer.3.x]",
    ],
)
def test_every_list_of_patterns_counts(written: Write, settings: str) -> None:
    text = f"variants:\n  int8:\n    quantize: {{method: dynamic-int8, {settings}}}\n"
    assert layers_named(resolve_all(load_recipe(written(HEAD + text)))) == 4


@pytest.mark.parametrize(
    ("setting", "layers"),
    [
        ("requires_grad=[bert.encoder.layer.10.*]", 11),
        ("requires_grad=['*'] train.frozen=[bert.encoder.layer.8.*]", 9),
        ("lora.modules=[bert.encoder.layer.6.attention.self.query]", 7),
    ],
)
def test_what_is_trained_counts(setting: str, layers: int) -> None:
    overrides = f"train.{setting}".split()
    loaded = load_recipe(RECIPES / "topics-lora.yaml", overrides=overrides)
    assert layers_named(resolve_all(loaded)) == layers


def test_the_shipped_recipe_names_six() -> None:
    assert layers_named(resolve_all(load_recipe(RECIPES / "all-minilm-l6-v2.yaml"))) == 6
