"""A build against the one before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from olive_build.proof.regression import regression_gates, summary
from olive_build.record.proof import (
    Latency,
    Limits,
    Memory,
    Quality,
    Spread,
    Summary,
    VariantProof,
)

PERPLEXITY = {"perplexity": 1.01}
LIMITS = {"size": 1.02, "latency": 1.1, "memory": 1.1, "quality": 0.0005}


def variant(
    size: int = 100,
    ratio: tuple[float, float, float] = (0.19, 0.20, 0.21),
    memory: tuple[float, float, float] = (49, 50, 51),
    **quality: float,
) -> Summary:
    figures = {"cosine_p1": 0.99, "cosine_mean": 0.995, **quality}
    low, median, high = ratio
    spread = Spread(median, low, high)
    least, peak, most = memory
    return summary(
        proved(
            size,
            {"onnx": figures, "ort": {**figures, "cosine_p1": 1.0}},
            latency=(Latency(16, 1, {}, {"pytorch": spread, "fp32 graph": spread}),),
            memory={"this file": (Memory(16, peak, least, most),)},
        )
    )


def proved(size: int, quality: dict[str, dict[str, float]], **more: Any) -> VariantProof:
    found = {form: Quality(figures) for form, figures in quality.items()}
    return VariantProof("passed", Limits(), found, (), size, size, **more)


def judged(new: Summary, old: Summary | None, **facts: bool) -> dict[str, str]:
    facts = {"same_machine": True, "same_inputs": True, **facts}
    gates = regression_gates(new, old, LIMITS, **facts)
    return {item.figure.removeprefix("regression of "): item.status for item in gates}


def test_without_a_previous_build_all_pass_and_say_so() -> None:
    gates = regression_gates(variant(), None, LIMITS, same_machine=False, same_inputs=False)
    assert {item.status for item in gates} == {"passed"}
    assert gates[0].text() == (
        "regression of size not measured, at most 1.02: passed (no previous build)"
    )


def test_the_same_build_again_is_no_regression() -> None:
    # Its own intervals are as wide as 0.21 / 0.19, which reaches across a tenth.
    steady = {"ratio": (0.199, 0.2, 0.201)}
    assert set(judged(variant(**steady), variant(**steady)).values()) == {"passed"}


@pytest.mark.parametrize(
    ("new", "status"),
    [
        ({"size": 103}, {"size": "failed"}),
        ({"size": 102}, {"size": "passed"}),
        ({"ratio": (0.31, 0.32, 0.33)}, {"latency": "failed"}),
        ({"ratio": (0.10, 0.11, 0.12)}, {"latency": "passed"}),
        ({"ratio": (0.21, 0.22, 0.23)}, {"latency": "undecided"}),
        ({"memory": (60, 61, 62)}, {"memory": "failed"}),
        ({"memory": (53, 55, 57)}, {"memory": "undecided"}),
        ({"cosine_mean": 0.9944}, {"quality": "failed"}),
        ({"cosine_mean": 0.9945}, {"quality": "passed"}),
        ({"cosine_mean": 0.9999}, {"quality": "passed"}),
    ],
)
def test_what_is_lost_against_the_previous_build(
    new: dict[str, Any], status: dict[str, str]
) -> None:
    found = judged(variant(**new), variant())
    assert {key: found[key] for key in status} == status


def test_times_and_memory_of_another_machine_are_not_compared() -> None:
    worse = variant(ratio=(0.9, 0.9, 0.9), memory=(200, 200, 200))
    assert judged(worse, variant(), same_machine=False) == {
        "size": "passed",
        "latency": "not measured",
        "memory": "not measured",
        "quality": "passed",
    }


def test_quality_on_other_inputs_is_not_compared() -> None:
    worse = variant(cosine_mean=0.5)
    assert judged(worse, variant(), same_inputs=False)["quality"] == "not measured"


def test_what_only_one_build_measured_is_not_compared() -> None:
    old = replace(variant(), latency=(), memory=())
    assert judged(variant(), old)["latency"] == "not measured"
    assert judged(variant(), old)["memory"] == "not measured"


def test_the_worst_file_and_figure_count() -> None:
    assert variant().quality["cosine_p1"] == 0.99
    gates = regression_gates(
        variant(cosine_p1=0.98, cosine_mean=0.994),
        variant(),
        {"quality": 0.001},
        same_machine=True,
        same_inputs=True,
    )
    assert gates[0].value == 0.01
    assert gates[0].note == "cosine_p1"


def test_perplexity_is_held_by_its_ratio_and_agreement_by_its_fall() -> None:
    def verdict(new: float, old: Summary, *, same_inputs: bool = True) -> str:
        gates = regression_gates(
            variant(perplexity=new, token_agreement=0.9),
            old,
            PERPLEXITY,
            same_machine=False,
            same_inputs=same_inputs,
        )
        return gates[0].text()

    old = variant(perplexity=20.0, token_agreement=0.9)
    assert verdict(20.1, old) == "regression of perplexity 1.005, at most 1.01: passed"
    assert verdict(21, old) == "regression of perplexity 1.05, at most 1.01: failed"
    assert "on other inputs" in verdict(20, old, same_inputs=False)
    assert "not both builds measured it" in verdict(20, variant())
    worse = judged(variant(perplexity=90.0, token_agreement=0.8), old)
    assert worse["quality"] == "failed"
    assert judged(variant(perplexity=90.0, token_agreement=0.9), old)["quality"] == "passed"


@pytest.mark.parametrize(
    ("figure", "old", "new", "fall"),
    [
        ("wer", 0.04, 0.06, 0.02),
        ("wer_to_reference", 0.0, 0.01, 0.01),
        ("wer_loss", 0.1, 1.1, 0.01),
        ("accuracy_loss", 0.25, 2.25, 0.02),
        ("generate_agreement", 1.0, 0.9, 0.1),
        ("picture_agreement", 1.0, 0.95, 0.05),
    ],
)
def test_errors_that_rise_and_points_that_are_lost_are_a_fall_of_quality(
    figure: str, old: float, new: float, fall: float
) -> None:
    (found,) = regression_gates(
        variant(**{figure: new}),
        variant(**{figure: old}),
        {"quality": 0.005},
        same_machine=False,
        same_inputs=True,
    )
    assert (found.value, found.status, found.note) == (fall, "failed", figure)
    assert judged(variant(**{figure: old}), variant(**{figure: new}))["quality"] == "passed"


def test_the_ratio_of_perplexities_is_a_perplexity() -> None:
    (found,) = regression_gates(
        variant(perplexity_ratio=1.05),
        variant(perplexity_ratio=1.0),
        PERPLEXITY,
        same_machine=False,
        same_inputs=True,
    )
    assert found.text() == "regression of perplexity 1.05, at most 1.01: failed"


def test_the_worst_form_of_a_file_is_compared() -> None:
    forms = {"onnx": {"perplexity": 21.0}, "ort": {"perplexity": 22.0}}
    assert summary(proved(1, forms)).quality == {"perplexity": 22.0}
