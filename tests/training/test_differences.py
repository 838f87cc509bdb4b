"""How far apart two computations are: what each figure forgives, and what it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from olive_build.training.differences import (
    faint,
    gradients_difference,
    largest_difference,
    losses_difference,
    outputs_difference,
    parameters_difference,
)

NAMES = ["a", "noise"]
EXPECTED = {"a": np.array([3.0, 4.0]), "noise": np.array([0.0, 5e-9])}


def test_losses_above_one_are_compared_by_ratio() -> None:
    assert losses_difference([0.5, 101.0], [0.4, 100.0]) == pytest.approx(0.1)
    assert losses_difference([0.5, 110.0], [0.5, 100.0]) == pytest.approx(0.1)
    assert losses_difference([0.5, math.nan], [0.5, 1.0]) == math.inf


def test_outputs_are_compared_with_the_largest() -> None:
    assert outputs_difference(np.array([0.25, 9.0]), np.array([0.25, 10.0])) == 0.1
    assert outputs_difference(np.array([0.25, 0.5]), np.array([0.25, 0.75])) == 0.25
    assert outputs_difference(np.zeros((1, 2)), np.zeros((2, 2))) == math.inf
    assert outputs_difference(np.array([math.nan]), np.array([1.0])) == math.inf
    assert outputs_difference(np.array([1.0]), np.array([math.inf])) == math.inf


def test_outputs_that_cannot_be_compared_differ() -> None:
    assert largest_difference(np.zeros((1, 2)), np.zeros((2, 2))) == math.inf
    assert largest_difference(np.array([1.0]), np.array([math.nan])) == math.inf
    assert largest_difference(np.array([1.0]), np.array([0.75])) == 0.25


def test_gradients_are_compared_by_parameter() -> None:
    def compared(**values: Any) -> dict[str, Any]:
        return gradients_difference(EXPECTED | values, EXPECTED.__getitem__, NAMES)

    # What rounding leaves of a gradient of zero is no error ...
    assert compared(noise=np.array([5e-9, 0.0]))["worst"] < 2e-5
    # ... and a gradient of a millionth of the whole with another sign is.
    tiny = {"a": EXPECTED["a"], "noise": np.array([0.0, 5e-6])}
    found = gradients_difference(tiny, lambda name: tiny[name] * (-1.0) ** NAMES.index(name), NAMES)
    assert (found["worst"], found["parameter"]) == (pytest.approx(2e-2), "noise")
    nan = compared(a=np.array([math.nan, 4.0]))
    assert nan == {"worst": math.inf, "parameter": "a", "count": 2}
    assert compared(a=np.array([[3.0, 4.0]]))["worst"] == math.inf


@pytest.mark.parametrize(
    ("found", "unlike"), [({"a"}, "noise"), ({"a", "noise", "other"}, "other"), (set(), "a")]
)
def test_a_gradient_that_is_missing_or_too_many_differs(found: set[str], unlike: str) -> None:
    values = {name: EXPECTED.get(name, EXPECTED["a"]) for name in found}
    figure = gradients_difference(values, EXPECTED.__getitem__, NAMES)
    assert (figure["worst"], figure["parameter"]) == (math.inf, unlike)


def read(*values: float) -> Callable[[str], Any]:
    return lambda _: np.array(values, np.float32)


def test_parameters_are_compared_with_their_own_move() -> None:
    def apart(*values: float, steps: int = 20) -> float:
        given = {"w": np.array(values, np.float32)}
        found = parameters_difference(given, read(1, 1), read(1.25, 1.75), ["w"], steps)
        assert (found["parameter"], found["count"]) == ("w", 1)
        return float(found["worst"])

    assert apart(1.25, 1.75) == 0
    assert apart(1.25, 1.85) == pytest.approx(0.1, rel=1e-3)
    assert apart(1, 1) == pytest.approx(1, rel=1e-3)  # did not learn
    # Twenty steps may each round by one spacing, and no more.
    spacing = float(np.spacing(np.float32(1.25)))
    assert apart(1.25 + 20 * spacing, 1.75) == 0 < apart(1.25 + 30 * spacing, 1.75)
    assert apart(math.nan, 1.75) == math.inf
    missing = parameters_difference({}, read(1), read(2), ["w"], 20)
    assert missing == {"worst": math.inf, "parameter": "w", "count": 1}


def test_a_parameter_that_pytorch_left_must_be_left() -> None:
    still = read(1.0)
    same = parameters_difference({"w": still("w")}, still, still, ["w"], 20)
    assert same["worst"] == 0
    moved = {"w": np.array([1.001], np.float32)}
    assert parameters_difference(moved, still, still, ["w"], 20)["worst"] == math.inf


def test_faint_is_what_is_small_in_all_steps() -> None:
    gradients = {
        (0, "a"): [1.0], (0, "late"): [0.0], (0, "never"): [0.0], (0, "key"): [1e-9],
        (1, "a"): [1.0], (1, "late"): [1e-3], (1, "never"): [0.0], (1, "key"): [2e-9],
    }  # fmt: skip
    names = ["a", "late", "never", "key"]
    assert faint(lambda step, name: np.array(gradients[step, name]), names, range(2)) == [
        "key",
        "never",
    ]
    assert faint(lambda step, name: np.array(gradients[step, name]), names, range(1)) == [
        "key",
        "late",
        "never",
    ]
