"""What was proved of training artifacts, against its limits. Pure: for build and report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olive_build.proof.verdict import Gate

# 20 steps in fp32 by the same rules: what differs is the order of sums.
LOSSES = 1e-5
# Relative to the gradient's length, for each parameter by itself.
GRADIENTS = 1e-4
# The same model in two versions of onnxruntime.
INFERENCE = 1e-5
TITLES = {
    "losses_difference": "losses of 20 steps, against PyTorch",
    "gradient_difference": "gradients, against PyTorch's, relative",
    "frozen_changed": "frozen parameters that changed",
    "resume_difference": "steps that differ after a resume",
    "ort_difference": "losses of the .ort files, against the .onnx files",
    "nominal_difference": "steps that differ from a nominal checkpoint",
    "inference_difference": "trained model in the current onnxruntime, against the training one",
    "equal_error_rate": "equal error rate of owners and impostors",
}


def training_gates(figures: Mapping[str, Any], equal_error_rate: float | None) -> list[Gate]:
    """Hold the figures of `training_figures` against their limits.

    `equal_error_rate` is the recipe's own ceiling, where it has one.
    """
    worst = figures["gradients"]["parameter"]
    gates = [
        _gate("losses_difference", figures["losses_difference"], LOSSES),
        _gate("gradient_difference", figures["gradients"]["worst"], GRADIENTS, f"of {worst}"),
        _gate("frozen_changed", len(figures["frozen_changed"]), 0, _few(figures["frozen_changed"])),
        _gate("resume_difference", int(not figures["resume_exact"]), 0),
        _gate("inference_difference", figures["inference_difference"], INFERENCE),
    ]
    if figures.get("ort_difference") is not None:
        gates.append(_gate("ort_difference", figures["ort_difference"], INFERENCE))
    if figures.get("nominal_exact") is not None:
        gates.append(_gate("nominal_difference", int(not figures["nominal_exact"]), 0))
    if equal_error_rate is not None:
        pooled = figures["personalised"]["pooled"]
        gates.append(_gate("equal_error_rate", pooled["rate"], equal_error_rate, trials(pooled)))
    return gates


def trials(pooled: Mapping[str, Any]) -> str:
    """Say between which values a rate lies, and how many trials it is of."""
    return (
        f"{pooled['low']:.1%} to {pooled['high']:.1%}; {pooled['owners']} trials of owners, "
        f"{pooled['impostors']} of impostors"
    )


def _gate(figure: str, value: float, limit: float, note: str = "") -> Gate:
    # A figure that is no number compares false and fails.
    return Gate(figure, float(value), limit, "passed" if value <= limit else "failed", note)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def training_figures(
    proof: Mapping[str, Any],
    inference: Mapping[str, Any],
    cost: Any,
    personalised: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what was measured as one: the JSON of the steps that prove and measure artifacts."""
    found = {**proof, "inference_difference": inference["difference"], "cost": cost}
    return found if personalised is None else {**found, "personalised": personalised}
