"""The report's page of training bundles: settings, costs, error rates, and what is damaged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from olive_build.errors import BundleError
from olive_build.report.builds import VariantView, find_build, read_bundle
from olive_build.report.comparison import Comparison
from olive_build.report.render.html import to_html
from olive_build.report.reporting import comparison_page, report_page
from olive_build.report.sections.training import changes

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from small_bundle import Page, gate, variant, write_bundle

SECTION: dict[str, Any] = {
    "inputs": [{"name": "input", "type": "float32", "axes": ["batch_size", 160000]}],
    "labels": ["other", "owner"],
    "loss": {"name": "cross-entropy", "class_weights": [1.0, 2.0], "output": None},
    "optimizer": {
        "name": "adamw",
        "lr": 0.003,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.01,
    },
    "trainable": [{"name": f"head.{name}", "shape": [2, 4]} for name in "abcd"],
    "frozen": ["body.weight"],
    "trainable_values": 32,
    "batch_size": 8,
    "epochs": 5,
}


def cost(milliseconds: float, threads: int) -> dict[str, Any]:
    memory = {"peak_bytes": 90e6, "baseline_bytes": 60e6}
    return {"milliseconds_per_step": milliseconds, "threads": threads, **memory}


def rate(value: float, trials: int = 40) -> dict[str, Any]:
    interval = {"low": value - 0.01, "high": value + 0.02}
    return {"rate": value, **interval, "owners": trials, "impostors": 10 * trials}


def proved(pooled: float = 0.03, milliseconds: float = 4.5) -> dict[str, Any]:
    return {
        "steps": 20,
        "losses_difference": 1.25e-7,
        "inference_difference": 2.5e-8,
        "gradients": {"worst": 3.5e-6, "parameter": "head.b", "count": 4},
        "parameters": {"worst": 4.5e-5, "parameter": "head.c", "count": 4},
        "cost": {**cost(milliseconds, 1), "all_cores": cost(2.5, 2)},
        "personalised": {
            "pooled": rate(pooled, 80),
            "owners": {"<ann>": rate(0.0125), "bob": rate(0.0475)},
        },
    }


def bundle(folder: Path, training: dict[str, Any] | None = None, **more: Any) -> Path:
    gates = [gate("equal_error_rate", 0.03, 0.05, "passed")]
    item = variant(0.99, 1_000_000, None, training=training or proved(), gates=gates)
    return write_bundle(folder, {"inference": item}, training={**SECTION, **more})


def page_of(folder: Path) -> tuple[str, Page]:
    text = to_html(report_page(find_build(str(folder), folder)))
    return text, Page(text)


def test_a_page_has_what_learns_what_it_costs_and_each_owners_rate(tmp_path: Path) -> None:
    text, page = page_of(bundle(tmp_path / "desktop"))
    figures = (4.5, 2.5, 90e6, 32, 1.25e-7, 2.5e-8, 3.5e-6, 4.5e-5, 0.03, 0.0125, 0.0475)
    assert set(figures) <= set(page.figures)
    for words in (
        "cross-entropy: class weights 1.0 2.0",
        "adamw: lr 0.003, betas 0.9 0.999, eps 1e-08",
        "8; the graphs take any",
        "2: other, owner",
        "32 of 0 values, in 4 parameters",
        "head.d",
        "2.0 to 5.0 %",
        "<ann>",
    ):
        assert words in page.text
    assert "<ann>" not in text  # what a bundle says is text
    # A bar for each owner and one for all, with its interval; the budget is of all.
    chart = text.partition('id="rates-desktop-title"')[2].partition("</svg>")[0]
    assert chart.count('class="interval"') == 3
    assert chart.count('class="goal"') == 1


def test_a_batch_that_is_fixed_is_said_and_no_trials_are_no_rates(tmp_path: Path) -> None:
    figures = proved()
    del figures["personalised"]
    inputs = [{"name": "input", "type": "float32", "axes": [1, 160000]}]
    _, page = page_of(bundle(tmp_path / "desktop", figures, inputs=inputs, frozen=[]))
    assert "1, fixed in the graphs" in page.text
    assert "all of its values" in page.text
    assert "Owner" not in page.words


DAMAGES: list[Callable[[dict[str, Any]], object]] = [
    lambda found: found.pop("cost"),
    lambda found: found["cost"].update(milliseconds_per_step="quick"),
    lambda found: found["gradients"].update(worst=float("nan")),
    lambda found: found.update(personalised={"pooled": 3}),
    lambda found: found.update(losses_difference=None),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_figures_are_an_error_that_names_the_bundle(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object]
) -> None:
    figures = proved()
    damage(figures)
    with pytest.raises(BundleError) as caught:
        page_of(bundle(tmp_path / "desktop", figures))
    assert caught.value.what.startswith("proof.json ")
    assert str(tmp_path / "desktop") in caught.value.render()


def view(folder: Path, figures: dict[str, Any]) -> VariantView:
    return read_bundle(bundle(folder, figures)).variants[0]


@pytest.mark.parametrize(
    ("pooled", "verdict"), [(0.03, "same"), (0.04, "unclear"), (0.09, "worse"), (0.0, "better")]
)
def test_a_rate_is_better_or_worse_where_the_intervals_lie_apart(
    tmp_path: Path, pooled: float, verdict: str
) -> None:
    first = proved(0.0301 if verdict == "better" else 0.03)
    if verdict == "better":
        first["personalised"]["pooled"] |= {"low": 0.025, "high": 0.05}
    old, new = view(tmp_path / "old", first), view(tmp_path / "new", proved(pooled))
    found = {item.title: item for item in changes(old, new, True)}
    assert found["equal error rate of owners and impostors"].verdict == verdict


def test_a_cost_has_no_interval_and_is_neither(tmp_path: Path) -> None:
    old, new = view(tmp_path / "old", proved()), view(tmp_path / "new", proved(milliseconds=9.0))
    found = {item.title: (item.change, item.verdict) for item in changes(old, new, True)}
    assert found["a training step, 1 thread"] == ("+100.0%", "unclear")
    assert found["a training step, 2 threads"][1] == "same"
    none = replace(old, proof=replace(old.proof, training=None))
    alone = {item.verdict for item in changes(none, new, True)}
    assert alone == {"changed"}
    folders = bundle(tmp_path / "a"), bundle(tmp_path / "b", proved(milliseconds=9.0), epochs=7)
    one, other = (find_build(str(folder), tmp_path) for folder in folders)
    text = Page(to_html(comparison_page(Comparison(one, other)))).text
    for words in ("a training step, 1 thread", "training epochs", "has no interval"):
        assert words in text
    assert "Size, quality, speed" not in text
