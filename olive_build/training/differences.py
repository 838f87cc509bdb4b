"""How far what the artifacts compute is from what PyTorch computed; infinite where unlike in kind.

Each figure says in one number what a gate can hold against a limit, and names the worst parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Read = Callable[[str], Array]
# A gradient smaller than this share of the whole gradient is measured against the share. Rounding
# leaves 2e-9 of the whole where the gradient is zero (an attention key's bias): 2e-5 by this.
SMALLEST_SHARE = 1e-4
# AdamW makes a whole step of any gradient, and of what rounding leaves of none: how a parameter
# moves whose gradients are below this share of the whole says nothing.
NOISE_SHARE = 1e-7


def losses_difference(losses: Sequence[float], expected: Sequence[float]) -> float:
    """Return the largest difference, relative to losses above 1; infinite where not finite."""
    differences = [
        abs(one - other) / max(1.0, abs(other)) for one, other in zip(losses, expected, strict=True)
    ]
    return max((d if math.isfinite(d) else math.inf) for d in differences)


def outputs_difference(one: Array, expected: Array) -> float:
    """Return the largest difference, relative to the largest expected value where above 1."""
    if not expected.size:
        return math.inf
    scale = max(1.0, float(np.abs(expected).max()))
    difference = largest_difference(one, expected) / scale
    return difference if math.isfinite(difference) else math.inf


def largest_difference(one: Array, other: Array) -> float:
    """Return the largest absolute difference; infinite where shapes differ or it is not finite."""
    if one.shape != other.shape:
        return math.inf
    difference = float(np.abs(np.subtract(one, other, dtype=np.float64)).max())
    return difference if math.isfinite(difference) else math.inf


def gradients_difference(
    gradients: Mapping[str, Array], expected: Read, names: Sequence[str]
) -> dict[str, Any]:
    """Return the largest ||g - g'|| / ||g'|| of a parameter, its name, and how many there are.

    `names` are those of PyTorch. It is infinite where one of them has no gradient, or another has.
    """
    unlike = sorted(set(gradients) ^ set(names))
    if unlike:
        return {"worst": math.inf, "parameter": unlike[0], "count": len(gradients)}
    floor = SMALLEST_SHARE * _whole([_norm(expected(name)) for name in names])
    errors = {name: _relative(gradients[name], expected(name), floor) for name in names}
    return {**_worst(errors), "count": len(errors)}


def parameters_difference(
    parameters: Mapping[str, Array], initial: Read, final: Read, names: Sequence[str], steps: int
) -> dict[str, Any]:
    """Return how far the worst parameter is from PyTorch's, relative to how far PyTorch's moved.

    Both are means over the parameter's values. Of a difference, one spacing of fp32 a step is left
    out: at small learning rates, that much of a move is rounding.
    """
    missing = sorted(set(names) - set(parameters))
    if missing:
        return {"worst": math.inf, "parameter": missing[0], "count": len(names)}
    errors = {
        name: _moved_apart(parameters[name], initial(name), final(name), steps) for name in names
    }
    return {**_worst(errors), "count": len(errors)}


def faint(
    gradient: Callable[[int, str], Array], names: Sequence[str], steps: Sequence[int]
) -> list[str]:
    """Name the parameters whose gradients are below 1e-7 of the whole in all of these steps."""
    found = set(names)
    for step in steps:
        norms = {name: _norm(gradient(step, name)) for name in names}
        whole = _whole(list(norms.values()))
        found &= {name for name, norm in norms.items() if norm < NOISE_SHARE * whole or not norm}
    return sorted(found)


def _moved_apart(found: Array, initial: Array, final: Array, steps: int) -> float:
    if found.shape != final.shape:
        return math.inf
    apart = np.abs(np.subtract(found, final, dtype=np.float64))
    apart = float(np.maximum(apart - steps * np.spacing(np.abs(final)), 0).mean())
    moved = float(np.abs(np.subtract(final, initial, dtype=np.float64)).mean())
    if not moved:
        return 0.0 if apart == 0 else math.inf
    return apart / moved if math.isfinite(apart) else math.inf


def _worst(errors: Mapping[str, float]) -> dict[str, Any]:
    name = max(errors, key=lambda item: errors[item], default="")
    return {"worst": errors.get(name, 0.0), "parameter": name}


def _relative(gradient: Array, expected: Array, floor: float) -> float:
    if gradient.shape != expected.shape:
        return math.inf
    size = max(_norm(expected), floor, float(np.finfo(np.float32).tiny))
    error = _norm(np.subtract(gradient, expected, dtype=np.float64)) / size
    return error if math.isfinite(error) else math.inf


def _whole(norms: Sequence[float]) -> float:
    return math.sqrt(sum(norm**2 for norm in norms))


def _norm(values: Array) -> float:
    return float(np.linalg.norm(np.asarray(values, np.float64)))
