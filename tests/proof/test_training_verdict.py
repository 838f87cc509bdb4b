"""Figures of training artifacts against their limits: each can fail."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from olive_build.proof.training_verdict import training_figures, training_gates

PROOF: dict[str, Any] = {
    "losses_difference": 2e-7,
    "gradients": {"worst": 3e-6, "parameter": "classifier.weight", "count": 2},
    "frozen_identical": True,
    "frozen_changed": [],
    "resume_exact": True,
    "ort_difference": 0.0,
    "nominal_exact": True,
    "steps": 20,
}
POOLED = {"rate": 0.02, "low": 0.01, "high": 0.04, "owners": 200, "impostors": 2800}


def figures(**changed: Any) -> dict[str, Any]:
    proof = copy.deepcopy(PROOF) | changed
    difference = proof.pop("difference", 1e-6)
    rate = proof.pop("rate", 0.02)
    personalised = {"pooled": POOLED | {"rate": rate}, "owners": {}}
    return training_figures(proof, {"difference": difference}, {}, personalised)


def failed(found: dict[str, Any], rate: float | None = 0.05) -> list[str]:
    return [gate.figure for gate in training_gates(found, rate) if gate.status == "failed"]


def test_what_holds_all_limits_passes() -> None:
    gates = training_gates(figures(), 0.05)
    assert {gate.status for gate in gates} == {"passed"}
    assert len(gates) == 8


@pytest.mark.parametrize(
    ("changed", "figure"),
    [
        ({"losses_difference": 2e-5}, "losses_difference"),
        ({"losses_difference": float("nan")}, "losses_difference"),
        ({"gradients": {"worst": 2e-4, "parameter": "w"}}, "gradient_difference"),
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


def test_what_a_bundle_has_not_is_not_judged() -> None:
    found = figures(ort_difference=None, nominal_exact=None)
    names = {gate.figure for gate in training_gates(found, None)}
    assert not names & {"ort_difference", "nominal_difference", "equal_error_rate"}
