"""Budgets as they are resolved: layers, maps by size, and what the previous build allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from olive_build.proof import figures
from olive_build.proof.figures import shipped
from olive_build.recipe.budgets import contradictions, filled, flat, looser
from olive_build.recipe.build import Budgets, Regression, SizedFloor
from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve
from olive_build.recipe.schema import recipe_schema

HEAD = "extends: _base.yaml\nname: it\n"
Write = Callable[..., Path]


def budgets(path: Path) -> dict[str, Budgets]:
    build = resolve(load_recipe(path), "desktop")
    return {variant.name: variant.budgets for variant in build.variants}


def test_the_more_special_layer_wins_key_by_key(written: Write) -> None:
    found = budgets(
        written(
            HEAD + "verify:\n"
            "  every_variant: {size_mb: 1, load_ms: 2, memory_mb: 3, regression: {size: 1.5}}\n"
            "  budgets:\n    int8: {memory_mb: 5, regression: {quality: 0.1}}\n"
            "targets:\n  desktop:\n    variants: [int8, fp32]\n    verify:\n"
            "      every_variant: {load_ms: 4, regression: {size: 1.2}}\n"
        )
    )
    limits = [found["fp32"].limit(name) for name in ("size_mb", "load_ms", "memory_mb")]
    assert limits == [1, 4, 3]
    assert found["fp32"].regression == Regression(size=1.2)
    assert found["int8"].limit("memory_mb") == 5
    assert found["int8"].regression == Regression(size=1.2, quality=0.1)


def test_speedup_is_a_number_for_all_sizes_or_one_by_size(written: Write) -> None:
    one = budgets(written(HEAD + "verify: {budgets: {int8: {speedup: 3}}}\n"))
    assert one["int8"].speedup == (SizedFloor(None, 3.0),)
    each = budgets(written(HEAD + "verify: {budgets: {int8: {speedup: {128: 3, 16: 6.5}}}}\n"))
    assert each["int8"].speedup == (SizedFloor(16, 6.5), SizedFloor(128, 3.0))
    assert each["int8"].limits()["speedup"] == (
        {"size": 16, "at_least": 6.5},
        {"size": 128, "at_least": 3.0},
    )


def test_a_slowdown_for_every_variant_leaves_those_alone_whose_speed_does_not_matter(
    written: Write,
) -> None:
    path = written(
        HEAD + "verify: {every_variant: {slowdown: 0.9}}\n"
        "targets: {desktop: {variants: [int8, q4]}}\n"
    )
    assert load_recipe(path).warnings == ()
    found = budgets(path)
    assert [found[name].limit("slowdown") for name in ("int8", "q4")] == [0.9, None]


def test_limits_are_what_is_asked_and_nothing_else() -> None:
    limits = filled({"regression": {"size": 1.1}}, "fp32", "any", ()).limits()
    assert limits["regression"] == {"size": 1.1}
    assert "speedup" not in limits
    assert "slowdown" not in limits


def test_nested_budgets_are_checked_by_their_dotted_names() -> None:
    given = flat({"speedup": {"16": 0.0, "0": 1.0}, "regression": {"size": 1.0}, "load_ms": None})
    assert given == {"speedup.16": 0.0, "speedup.0": 1.0, "regression.size": 1.0}
    assert [key for key, _ in contradictions(given)] == ["speedup.16", "speedup.0"]


HEARD = ("wer",)


@pytest.mark.parametrize(
    ("precision", "name", "limits"),
    [
        ("fp32", "fp32", {"wer_loss": 0.1, "wer_to_reference": 0.005, "generate_agreement": 0.9}),
        ("fp16", "fp16", {"wer_loss": 0.25, "wer_to_reference": 0.02}),
        ("int8", "int8", {"wer_loss": 1.0}),
        ("int4", "q4", {"wer_loss": 3.0}),
        ("int8", "faithful", {"wer_loss": 0.5}),
        ("int4", "fast", {"wer_loss": 1.0}),
    ],
)
def test_what_transcribes_is_held_to_its_words_alone(
    precision: str, name: str, limits: dict[str, float]
) -> None:
    assert shipped(HEARD, precision, name) == limits


def test_names_promise_the_others_nothing_of_words() -> None:
    heard = {*figures.of_metrics(HEARD)}
    assert "wer_loss" in heard
    for metric in ("cosine", "accuracy"):
        assert not {*shipped((metric,), "int8", "fast")} & heard


def test_word_errors_are_shares_and_losses_are_points() -> None:
    given = {"wer": 4.0, "wer_to_reference": -0.1, "generate_agreement": 95, "wer_loss": 101}
    assert dict(contradictions(given)) == {
        "wer": "wer is a share, from 0 to 1",
        "wer_to_reference": "wer_to_reference is a share, from 0 to 1",
        "generate_agreement": "generate_agreement is a share, from 0 to 1",
        "wer_loss": "wer_loss is in points, from 0 to 100",
    }
    assert not list(contradictions({"wer": 0.0, "wer_loss": 0.0, "generate_agreement": 1.0}))


WRITTEN = ("perplexity",)
PRECISIONS = ("fp32", "fp16", "int8", "weight-int8", "int4", "w8a8", "w8a16")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_writes_is_held_to_its_probabilities_in_every_precision(precision: str) -> None:
    found = shipped(WRITTEN, precision)
    assert {"perplexity_ratio", "token_agreement"} <= set(found) <= {*figures.of_metrics(WRITTEN)}
    assert found["perplexity_ratio"] > 1 > found["token_agreement"] > 0.5


def test_full_precision_writes_what_pytorch_writes_and_names_tighten() -> None:
    fp32 = shipped(WRITTEN, "fp32")
    assert (fp32["generate_agreement"], fp32["perplexity_ratio"]) == (1.0, 1.0001)
    assert shipped(WRITTEN, "int8", "faithful")["perplexity_ratio"] == 1.01
    assert "generate_agreement" not in shipped(WRITTEN, "int8")


def test_no_perplexity_is_below_one() -> None:
    given = {"perplexity": 0.9, "perplexity_ratio": 0.0, "token_agreement": 1.1}
    assert {key for key, _ in contradictions(given)} == set(given)
    assert not list(contradictions({"perplexity": 1.0, "perplexity_ratio": 0.9}))
    assert [key for key, _ in contradictions({"regression.perplexity": 0.0})] == [
        "regression.perplexity"
    ]


def test_more_word_errors_and_less_agreement_are_looser() -> None:
    given = {"wer_loss": 0.2, "wer_to_reference": 0.001, "generate_agreement": 0.8}
    assert dict(looser(given, "fp32", HEARD)) == {"wer_loss": 0.1, "generate_agreement": 0.9}


@pytest.mark.parametrize("value", [3, {"16": 6.5}])
def test_the_schema_for_editors_takes_both_forms_of_speedup(value: object) -> None:
    spec = {"$ref": "#/$defs/BudgetsSpec", "$defs": recipe_schema()["$defs"]}
    jsonschema.validate({"speedup": value, "regression": {"size": 1.02}}, spec)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"speedup": "fast"}, spec)


@pytest.mark.parametrize(
    ("limits", "figure"),
    [
        ("{perplexity_ratio: 1.1}", "perplexity_ratio"),
        ("{regression: {perplexity: 1.1}}", "perplexity"),
    ],
)
def test_what_a_family_does_not_measure_is_refused_in_maps_too(
    written: Write, limits: str, figure: str
) -> None:
    path = written(HEAD + f"verify:\n  every_variant: {limits}\n")
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(path)
    (found,) = caught.value.diagnostics
    assert found.message == f"'{figure}' is not measured for models of sentence-embedding"
