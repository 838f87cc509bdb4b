"""What `extends` and `--set` do: maps merge, lists and scalars replace, positions stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve, resolve_all

HEAD = "extends: _base.yaml\nname: it\n"
Write = Callable[..., Path]


def test_maps_merge_and_lists_replace(written: Write) -> None:
    path = written(HEAD + "targets:\n  desktop: {variants: [q8, q4]}\n  web: {}\n")
    recipe = load_recipe(path).recipe
    assert list(recipe.targets) == ["desktop", "web"]
    assert recipe.targets["desktop"].variants == ("q8", "q4")
    assert recipe.model.family == "sentence-embedding"


def test_the_recipe_wins_over_its_base(written: Write) -> None:
    recipe = load_recipe(written(HEAD + "description: Mine\n")).recipe
    assert recipe.description == "Mine"


def test_bases_of_bases(written: Write) -> None:
    written("extends: ../_base.yaml\nexport: {opset: 18}\nfuse: {attention: plain}\n", "b/mid.yaml")
    recipe = load_recipe(written("extends: b/mid.yaml\nname: it\nexport: {opset: 17}\n")).recipe
    assert recipe.export.opset == 17
    assert recipe.fuse.attention == "plain"


def test_a_path_is_relative_to_the_file_that_writes_it(written: Write) -> None:
    written('{"text": "a"}\n', "b/mine.jsonl")
    written("extends: ../_base.yaml\nverify: {data: {file: mine.jsonl}}\n", "b/mid.yaml")
    loaded = load_recipe(written("extends: b/mid.yaml\nname: it\n"))
    assert resolve(loaded, "desktop").data.file == "b/mine.jsonl"


def test_values_keep_the_position_of_their_own_file(written: Write) -> None:
    loaded = load_recipe(written(HEAD + "fuse: {attention: plain}\n"))
    own = loaded.positions.value_span(("fuse", "attention"))
    inherited = loaded.positions.value_span(("model", "licence"))
    assert (Path(own.source.label).name, own.line, own.column) == ("it.yaml", 3, 19)
    assert (Path(inherited.source.label).name, inherited.line) == ("_base.yaml", 5)


def test_set_replaces_what_is_there(written: Write) -> None:
    overrides = ["targets.desktop.variants=[q4]", "targets.web={}", "fuse.attention=plain"]
    recipe = load_recipe(written(HEAD), overrides=overrides).recipe
    assert recipe.targets["desktop"].variants == ("q4",)
    assert "web" in recipe.targets
    assert recipe.fuse.attention == "plain"


def test_set_takes_yaml_scalars(written: Write) -> None:
    overrides = ["verify.timing=false", "description='1'", "export.opset=0x12"]
    recipe = load_recipe(written(HEAD), overrides=overrides).recipe
    assert recipe.verify.timing is False
    assert recipe.description == "1"
    assert recipe.export.opset == 18


def test_a_value_may_hold_an_equals_sign(written: Write) -> None:
    assert load_recipe(written(HEAD), overrides=["description=a=b"]).recipe.description == "a=b"


def test_the_last_set_wins(written: Write) -> None:
    overrides = ["export.opset=17", "export.opset=18"]
    assert load_recipe(written(HEAD), overrides=overrides).recipe.export.opset == 18


def test_errors_are_sorted_file_before_base_before_set(written: Write) -> None:
    written("extends: _base.yaml\nfuse: {attention: x}\n", "_mid.yaml")
    path = written("extends: _mid.yaml\nname: it\nexport: {opset: 5}\nverify: {timing: 1}\n")
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(path, overrides=["compose=x"])
    places = [(Path(item.file).name, item.line) for item in caught.value.diagnostics]
    assert places == [("it.yaml", 3), ("it.yaml", 4), ("_mid.yaml", 2), ("--set compose=x", 1)]


def test_target_settings_win_over_the_recipes(written: Write) -> None:
    text = (
        "export: {opset: 18}\nfuse: {attention: plain}\n"
        "quantize: {method: dynamic-int8, exclude: [a], reduce_range: true}\n"
        "variants:\n  int8: {quantize: {method: dynamic-int8, exclude: [b]}}\n"
        "verify: {timing: false, budgets: {int8: {cosine_mean: 0.99, size_mb: 30}}}\n"
        "passes: [{pass: OnnxPeepholeOptimizer, after: export}]\n"
        "targets:\n  desktop:\n    variants: [int8, q4]\n"
        "    export: {opset: 17}\n    fuse: {attention: fused}\n    compose: none\n"
        "    quantize: {method: dynamic-int8, per_channel: false}\n"
        "    verify: {timing: true, budgets: {int8: {size_mb: 25}}}\n"
        "    passes: [{pass: OnnxScriptFusion, before: quantize, variants: [int8, fp32]}]\n"
        "  web: {variants: [int8]}\n"
    )
    desktop, web = resolve_all(load_recipe(written(HEAD + text)))
    assert (desktop.opset, desktop.attention, desktop.compose, desktop.timing) == (
        (17, "fused", "none", True)
    )
    assert (web.opset, web.attention, web.compose, web.timing) == (18, "plain", "none", False)
    int8, q4 = desktop.variants
    assert int8.quantize is not None and int8.quantize.method == "dynamic-int8"
    assert int8.quantize.exclude == ("b",)
    assert int8.quantize.reduce_range and not int8.quantize.per_channel
    assert q4.quantize is not None and q4.quantize.method == "weight-only"
    assert [int8.budgets.limit(name) for name in ("cosine_mean", "size_mb")] == [0.99, 25]
    assert web.variants[0].budgets.limit("size_mb") == 30
    names = [(p.name, p.placement, p.stage, p.variants) for p in desktop.passes]
    assert names == [
        ("OnnxPeepholeOptimizer", "after", "export", None),
        ("OnnxScriptFusion", "before", "quantize", ("int8",)),
    ]
    assert [p.name for p in web.passes] == ["OnnxPeepholeOptimizer"]
