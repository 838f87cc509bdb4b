"""Whether comparing a model's outputs can prove anything: they have size, and differ by input."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

# Below these, rounding alone explains what is left of an output or of a difference.
LEAST_SIZE, LEAST_SPREAD = 1e-3, 1e-3
# Infinite, or the lowest number of a type: what masks write.
LOWEST = 1e30


def insignificant(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, str]:
    """Return why outputs prove nothing, by name; those that do are left out.

    The two are a model's outputs of inputs of equal shapes and other values.
    """
    reasons = {name: _reason(first[name], second.get(name)) for name in first}
    return {name: reason for name, reason in reasons.items() if reason}


def _reason(one: Tensor, other: Tensor | None) -> str:
    if not one.is_floating_point() or one.numel() == 0:
        return ""
    if not _are_numbers(one):
        return "are no numbers"
    largest = float(_finite(one).abs().max()) if bool(one.isfinite().any()) else 0.0
    if largest < LEAST_SIZE:
        return f"are at most {largest:.1e}"
    if other is None or other.shape != one.shape:
        return ""
    apart = float((_finite(one) - _finite(other)).abs().max())
    # The usual size: single values, such as of hidden cells, may be thousands of times as large.
    usual = float(_finite(one).abs().median()) or largest
    if apart / usual < LEAST_SPREAD:
        return f"differ by {apart / usual:.1e} of their size between two inputs"
    return ""


def _are_numbers(values: Tensor) -> bool:
    """Whether no value is NaN. Masked scores are infinite, or the lowest number there is."""
    return not bool(values.isnan().any())


def _finite(values: Tensor) -> Tensor:
    lowest = values.abs() > LOWEST
    return torch.where(lowest, torch.zeros_like(values), values).double()
