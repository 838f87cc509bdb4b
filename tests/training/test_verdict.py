"""Figures of training artifacts against their limits: each can fail."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from olive_build.proof.figures import what_to_do
from olive_build.record.proof import ErrorRate, Gate, Personalised, Trained
from olive_build.training.verdict import (
    margin_gates,
    training_figures,
    training_gates,
)

PROOF: dict[str, Any] = {
    "losses_difference": 2e-7,
    "gradients": {"worst": 3e-6, "parameter": "classifier.weight", "count": 2},
    "parameters": {"worst": 2e-5, "parameter": "classifier.bias", "count": 2},
    "free_difference": 2e-3,
    "start_changed": [],
    "optimizer_differences": [],
    "eval_difference": 4e-7,
    "eval_loss_difference": 1e-7,
    "frozen_identical": True,
    "frozen_changed": [],
    "resume_exact": True,
    "ort_difference": 0.0,
    "nominal_exact": True,
    "steps": 20,
}
COST = {"threads": 1, "milliseconds_per_step": 1.0, "peak_bytes": 2, "baseline_bytes": 1}
POOLED = {"rate": 0.02, "low": 0.01, "high": 0.04, "owners": 200, "impostors": 2800}


def figures(**changed: Any) -> Trained:
    proof = copy.deepcopy(PROOF) | changed
    difference = proof.pop("difference", 1e-6)
    trained = proof.pop("trained", 1e-6)
    rate = proof.pop("rate", 0.02)
    personalised = {"pooled": POOLED | {"rate": rate}, "owners": {}}
    inference = {"difference": difference, "pytorch_difference": trained}
    return training_figures(proof, inference, COST, personalised)


def failed(found: Trained, rate: float | None = 0.05) -> list[str]:
    return [gate.figure for gate in training_gates(found, rate) if gate.status == "failed"]


def test_what_holds_all_limits_passes() -> None:
    gates = training_gates(figures(), 0.05)
    assert {gate.status for gate in gates} == {"passed"}
    assert len(gates) == 15


@pytest.mark.parametrize(
    ("changed", "figure"),
    [
        ({"losses_difference": 2e-5}, "losses_difference"),
        ({"losses_difference": float("nan")}, "losses_difference"),
        ({"gradients": {"worst": 2e-4, "parameter": "w"}}, "gradient_difference"),
        ({"parameters": {"worst": 6e-3, "parameter": "w"}}, "parameters_difference"),
        ({"free_difference": 0.06}, "free_difference"),
        ({"free_difference": float("inf")}, "free_difference"),
        ({"start_changed": ["w"]}, "start_difference"),
        ({"optimizer_differences": ["epsilon is 1, not 0"]}, "optimizer_difference"),
        ({"eval_difference": 2e-5}, "eval_difference"),
        ({"eval_loss_difference": 2e-5}, "eval_loss_difference"),
        ({"trained": float("nan")}, "trained_difference"),
        ({"frozen_changed": ["a", "b", "c", "d"]}, "frozen_changed"),
        ({"resume_exact": False}, "resume_difference"),
        ({"ort_difference": 1e-3}, "ort_difference"),
        ({"nominal_exact": False}, "nominal_difference"),
        ({"difference": 2e-5}, "inference_difference"),
        ({"rate": 0.06}, "equal_error_rate"),
    ],
)
def test_each_figure_can_fail(changed: dict[str, Any], figure: str) -> None:
    assert failed(figures(**changed)) == [figure]


def test_a_gate_says_what_it_is_of() -> None:
    texts = [gate.text() for gate in training_gates(figures(frozen_changed=list("abcd")), 0.01)]
    assert "gradient_difference 3e-06, at most 0.0001: passed (of classifier.weight)" in texts
    assert "frozen_changed 4, at most 0: failed (a, b, c and 1 more)" in texts
    assert (
        "equal_error_rate 0.02, at most 0.01: failed "
        "(1.0% to 4.0%; 200 trials of owners, 2800 of impostors)" in texts
    )


def hint(**changed: Any) -> str:
    return what_to_do(failed(figures(**changed), None))


def test_a_failure_over_steps_has_a_hint_of_its_own() -> None:
    over, single = hint(free_difference=0.2), hint(losses_difference=1.0)
    assert over and "each step by itself is PyTorch's" in over
    assert single and "from the same parameters and moments" in single
    # Where single steps fail, the whole cannot hold: the first is to be mended.
    assert hint(free_difference=0.2, losses_difference=1.0) == single
    assert hint(frozen_changed=["w"]) == hint() == ""


def test_what_the_optimizer_differs_in_is_said() -> None:
    said = ["adam_mode is 1, not 0", "epsilon is 1e-06, not 1e-08"]
    texts = [gate.text() for gate in training_gates(figures(optimizer_differences=said), None)]
    assert (
        "optimizer_difference 2, at most 0: failed "
        "(adam_mode is 1, not 0; epsilon is 1e-06, not 1e-08)" in texts
    )


@pytest.mark.parametrize("name", ["refused_at_margin", "let_in_at_margin"])
def test_each_error_at_the_margin_can_fail(name: str) -> None:
    shares = {"refused_at_margin": 0.05, "let_in_at_margin": 0.01}

    def gates(**changed: float) -> list[Gate]:
        pooled = ErrorRate(0.02, 0.01, 0.04, 200, 2800, **shares | changed)
        return margin_gates(Personalised(pooled, {}, margin=0.69), 0.1)

    assert [gate.status for gate in gates()] == ["passed", "passed"]
    (found,) = [gate for gate in gates(**{name: 0.11}) if gate.status == "failed"]
    assert found.text() == f"{name} 0.11, at most 0.1: failed (margin 0.69)"


def test_what_a_bundle_has_not_is_not_judged() -> None:
    found = figures(ort_difference=None, nominal_exact=None)
    names = {gate.figure for gate in training_gates(found, None)}
    assert not names & {"ort_difference", "nominal_difference", "equal_error_rate"}
