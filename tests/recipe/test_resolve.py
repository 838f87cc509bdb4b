"""The five builds of the shipped recipe, and the defaults that they are made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from golden import assert_golden

from olive_build.errors import UsageError
from olive_build.methods.weight_only import WeightOnly
from olive_build.recipe.build import HubSource, PackageSource, PathSource
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve, resolve_all

HERE = Path(__file__).parent
HEAD = "extends: _base.yaml\nname: it\n"
Write = Callable[..., Path]


def test_the_shipped_recipe_has_nothing_to_say_about(shipped: Path) -> None:
    assert load_recipe(shipped).warnings == ()


def test_the_builds_of_the_shipped_recipe(shipped: Path) -> None:
    builds = resolve_all(load_recipe(shipped))
    assert [build.target for build in builds] == [
        "desktop",
        "web",
        "android",
        "ios",
        "windows",
        "npu",
    ]
    text = json.dumps([asdict(build) for build in builds], indent=2) + "\n"
    assert_golden(HERE / "all-minilm-l6-v2.builds.json", text)


def test_builds_are_values(shipped: Path) -> None:
    loaded = load_recipe(shipped)
    assert resolve_all(loaded) == resolve_all(load_recipe(shipped))
    assert len({hash(build) for build in resolve_all(loaded)}) == 6


def test_the_source_is_the_recipes_or_the_callers(shipped: Path) -> None:
    loaded = load_recipe(shipped)
    assert isinstance(resolve(loaded, "web").source, PackageSource)
    assert isinstance(resolve(loaded, "web", source="hub").source, HubSource)
    with pytest.raises(UsageError, match="no source 'path'"):
        resolve(loaded, "web", source="path")


def test_a_target_that_the_recipe_has_not(written: Write) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(load_recipe(written(HEAD)), "desk")
    assert caught.value.hint == "did you mean 'desktop'?"


def test_a_path_source_is_relative_to_the_recipe(written: Write) -> None:
    written("{}", "models/mine/config.json")
    model = "{source: path, sources: {path: {folder: ../models/mine/}}}"
    text = f"extends: ../_base.yaml\nname: it\nmodel: {model}\n"
    loaded = load_recipe(written(text, "recipes/it.yaml"))
    assert resolve(loaded, "desktop").source == PathSource("../models/mine")


@pytest.mark.parametrize(
    ("name", "precision", "speed", "budgets"),
    [
        (
            "fp32",
            "fp32",
            "gated",
            {
                "cosine_lowest": 0.99999,
                "embedding_difference": 1e-4,
                "size_ratio": 1,
                "slowdown": 1,
            },
        ),
        (
            "fp16",
            "fp16",
            "gated",
            {"cosine_lowest": 0.999, "embedding_difference": 0.01, "size_ratio": 1, "slowdown": 1},
        ),
        (
            "int8",
            "int8",
            "gated",
            {"cosine_p1": 0.98, "embedding_difference": 0.3, "size_ratio": 1, "slowdown": 1},
        ),
        (
            "q8",
            "int8",
            "gated",
            {"cosine_p1": 0.98, "embedding_difference": 0.3, "size_ratio": 1, "slowdown": 1},
        ),
        ("q4", "int4", "any", {"cosine_p1": 0.93, "embedding_difference": 0.5, "size_ratio": 1}),
    ],
)
def test_built_in_variants(
    written: Write, name: str, precision: str, speed: str, budgets: dict[str, float]
) -> None:
    loaded = load_recipe(written(HEAD), overrides=[f"targets.desktop.variants=[{name}]"])
    (variant,) = resolve(loaded, "desktop").variants
    assert (variant.name, variant.precision, variant.speed) == (name, precision, speed)
    assert variant.budgets.limits() == budgets
    assert (variant.because is not None) == (speed == "any")


def test_an_overridden_built_in_variant_keeps_what_it_does_not_say(written: Write) -> None:
    text = "variants:\n  q4: {speed: gated}\n  int8: {quantize: {method: weight-only, bits: 8}}\n"
    overrides = ["targets.desktop.variants=[q4, int8]"]
    q4, int8 = resolve(load_recipe(written(HEAD + text), overrides=overrides), "desktop").variants
    assert (q4.precision, q4.speed, q4.because) == ("int4", "gated", None)
    assert q4.budgets.limit("slowdown") == 1.0
    assert int8.precision == "weight-int8"


def test_equal_options_are_equal_requests(written: Write) -> None:
    text = "passes: [{{pass: OnnxPeepholeOptimizer, after: fuse, options: {}}}]\n"
    first = "{onnxscript_optimize: true, convert_attribute: false}"
    second = "{convert_attribute: false, onnxscript_optimize: true}"
    builds = [
        resolve(load_recipe(written(HEAD + text.format(options))), "desktop")
        for options in (first, second)
    ]
    assert builds[0] == builds[1]
    assert builds[0].passes[0].options == '{"convert_attribute":false,"onnxscript_optimize":true}'


def test_a_task_names_its_family(written: Write) -> None:
    base = (HERE / "errors" / "_base.yaml").read_text(encoding="utf-8")
    text = base.replace("family: sentence-embedding", "task: sentence-similarity")
    loaded = load_recipe(written("name: it\n" + text))
    assert resolve(loaded, "desktop").family == "sentence-embedding"


def test_what_the_recipe_does_not_write_is_by_default(written: Write) -> None:
    text = "quantize: {method: dynamic-int8, smooth: true}\n"
    (int8,) = resolve(load_recipe(written(HEAD + text)), "desktop").variants
    assert "per_token" in int8.by_default
    assert not {"method", "smooth"} & set(int8.by_default)
    (plain,) = resolve(load_recipe(written(HEAD)), "desktop").variants
    assert {"method", "smooth", "per_token"} <= set(plain.by_default)
    target = "targets.desktop.quantize={method: dynamic-int8, per_token: all}"
    (own,) = resolve(load_recipe(written(HEAD), overrides=[target]), "desktop").variants
    assert not {"method", "per_token"} & set(own.by_default)


@pytest.mark.parametrize(
    ("settings", "target", "provider", "level", "slow"),
    [
        ("bits: 4", "desktop", "cpu", 0, None),
        ("bits: 8", "desktop", "cpu", 4, None),
        ("bits: 8, accuracy_level: 0", "desktop", "cpu", 0, "leave `accuracy_level` out"),
        ("bits: 8, accuracy_level: 4", "desktop", "cpu", 4, None),
        ("bits: 8", "desktop", "cuda", 0, None),
        ("bits: 8", "web", "webgpu", 0, None),
        ("bits: 8", "web", "wasm", 0, "build for `provider: webgpu`"),
        ("bits: 4", "web", "wasm", 0, "write `quantize: {method: stored-int8}`"),
    ],
)
def test_the_level_of_blocks_goes_by_the_kernels_of_the_provider(
    written: Write, settings: str, target: str, provider: str, level: int, slow: str | None
) -> None:
    text = f"variants: {{q4: {{quantize: {{method: weight-only, {settings}}}}}}}\n"
    overrides = [f"targets={{{target}: {{variants: [q4], provider: {provider}}}}}"]
    loaded = load_recipe(written(HEAD + text), overrides=overrides)
    (found,) = resolve(loaded, target).variants
    assert isinstance(found.quantize, WeightOnly)
    assert found.quantize.accuracy_level == level
    assert (found.slow is None) == (slow is None)
    assert slow is None or slow in (found.slow or "")
    assert [warning.code for warning in loaded.warnings] == ["W004"] * (slow is not None)
