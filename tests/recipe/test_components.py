"""What a recipe says of one component of a model, and what wins over what."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_build.methods.dynamic_int8 import DynamicInt8
from olive_build.methods.fp16 import Fp16
from olive_build.recipe.build import TargetBuild
from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "whisper-digits.yaml"
MIXED = (
    "variants.mixed={quantize: {method: fp16}, components: "
    "{encoder: {quantize: {method: dynamic-int8}}}}"
)
DESKTOP = "targets.desktop.variants=[fp32, mixed]"


def build_of(*overrides: str, target: str = "desktop") -> TargetBuild:
    return resolve(load_recipe(RECIPE, overrides=overrides), target)


def test_a_variant_makes_one_component_by_a_method_of_its_own() -> None:
    mixed = build_of(MIXED, DESKTOP).variants[1]
    assert isinstance(mixed.of("encoder").quantize, DynamicInt8)
    assert isinstance(mixed.of("decoder").quantize, Fp16)
    # Budgets are those of what is least exact.
    assert mixed.precision == "int8"


def test_a_component_may_stay_as_it_is() -> None:
    kept = "variants.int8.components={encoder: {quantize: {method: fp32}}}"
    (variant,) = build_of(kept, "targets.desktop.variants=[int8]").variants
    assert variant.of("encoder").quantize is None
    assert isinstance(variant.of("decoder").quantize, DynamicInt8)
    assert variant.precision == "int8"


def test_a_targets_component_wins_over_the_recipes_and_both_over_the_whole() -> None:
    of_recipe = (
        "components={encoder: {fuse: {attention: plain}, export: {opset: 18}, "
        "quantize: {method: dynamic-int8, reduce_range: true}}}"
    )
    of_target = "{encoder: {quantize: {method: dynamic-int8, per_channel: true}}}"
    whole = "quantize={method: dynamic-int8, per_channel: false, reduce_range: false}"
    overrides = (MIXED, DESKTOP, whole, of_recipe, f"targets.desktop.components={of_target}")
    build = build_of(*overrides)
    method = build.variants[1].of("encoder").quantize
    assert isinstance(method, DynamicInt8)
    assert (method.per_channel, method.reduce_range) == (True, True)
    assert build.component("encoder").attention == "plain"
    assert build.component("encoder").opset == 18
    assert build.component("decoder").attention == build.attention == "fused"
    # What is said of the encoder's method changes no other component of another method.
    assert isinstance(build.variants[1].of("decoder").quantize, Fp16)


def test_passes_of_a_component_run_on_it_alone_and_after_those_of_the_whole() -> None:
    overrides = (
        MIXED.replace(
            "{encoder: {quantize: {method: dynamic-int8}}}",
            "{decoder: {passes: [{pass: OnnxPeepholeOptimizer, after: fuse}]}}",
        ),
        DESKTOP,
        "components={encoder: {passes: [{pass: OnnxPeepholeOptimizer, after: export}]}}",
        "passes=[{pass: OnnxPeepholeOptimizer, before: fuse}]",
    )
    found = [(item.component, item.variants) for item in build_of(*overrides).passes]
    assert found == [(None, None), ("encoder", None), ("decoder", ("mixed",))]


def test_what_is_said_of_no_component_leaves_the_build_as_it_was() -> None:
    build = build_of()
    assert build.components == () and all(item.components == () for item in build.variants)


def test_a_component_that_no_model_of_the_family_has_is_told_with_those_that_are() -> None:
    with pytest.raises(RecipeErrors) as caught:
        build_of("components={encodr: {fuse: {attention: plain}}}")
    (error,) = caught.value.diagnostics
    assert "did you mean 'encoder'?" in error.hint
    assert "encoder, decoder, decoder_with_past" in error.notes[0]


def test_a_search_makes_no_component_by_itself() -> None:
    recipe = RECIPE.with_name("all-minilm-l6-v2.yaml")
    said = "variants.fast={quantize: auto, components: {model: {quantize: {method: fp16}}}}"
    with pytest.raises(RecipeErrors) as caught:
        resolve(load_recipe(recipe, overrides=(said,)), "desktop")
    (error,) = caught.value.diagnostics
    assert "a search makes 'fast' as a whole" in error.message
