"""What was proved of training artifacts, against its limits. Pure: for build and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olive_build.proof.verdict import Gate

# A step in fp32 from the same state: what differs is the order of sums.
LOSSES = 1e-5
# Twenty steps that each go on from the last, so that rounding grows: a ReLU on the other side of
# zero parted two right trainings by 2e-3. At a rate of 0.01, moments that are lost between steps
# change .1, gradients that are not reset .25; smaller faults are seen in the single steps.
FREE = 0.05
FREE_HINT = (
    "each step by itself is PyTorch's; twenty in a row are not. If the losses jump up and down, "
    "the learning rate is too high for rounding to stay small: lower train.optimizer.lr. If they "
    "fall, the fault lies in what one step leaves to the next: please report it"
)
STEP_HINT = (
    "a step is not PyTorch's from the same parameters and moments, so a device would learn "
    "something else: please report it with the recipe; until then freeze the layer that is named, "
    "or what lies below it"
)
# Relative to the gradient's length, for each parameter by itself.
GRADIENTS = 1e-4
# Relative to how far PyTorch's moved in that step, for each parameter by itself: 1e-5, and more at
# the first step, where AdamW makes a whole step of what rounding leaves of a gradient. The AdamW of
# onnxruntime, or another weight decay that matters, are 3e-2 and more.
PARAMETERS = 5e-3
# The same model in two versions of onnxruntime, or in PyTorch.
INFERENCE = 1e-5
OF_STEPS = {"losses_difference", "gradient_difference", "parameters_difference"}
TITLES = {
    "losses_difference": "losses from recorded states, against PyTorch",
    "gradient_difference": "gradients from recorded states, against PyTorch's, relative",
    "parameters_difference": "parameters after a step, against PyTorch's, relative to their move",
    "free_difference": "losses of 20 steps in a row, against PyTorch",
    "start_difference": "trained parameters that begin as others than PyTorch's",
    "optimizer_difference": "settings of the optimizer's file, against the recipe's",
    "eval_difference": "evaluation model's outputs after the steps, against PyTorch's",
    "eval_loss_difference": "evaluation model's loss after the steps, against PyTorch's",
    "frozen_changed": "frozen parameters that changed",
    "resume_difference": "steps that differ after a resume",
    "ort_difference": "losses and outputs of the .ort files, against the .onnx files",
    "nominal_difference": "steps that differ from a nominal checkpoint",
    "inference_difference": "trained model in the current onnxruntime, against the training one",
    "trained_difference": "trained model in the current onnxruntime, against PyTorch",
    "equal_error_rate": "equal error rate of owners and impostors",
    "refused_at_margin": "owners refused at the margin",
    "let_in_at_margin": "others let in at the margin",
}


def training_gates(figures: Mapping[str, Any], equal_error_rate: float | None) -> list[Gate]:
    """Hold the figures of `training_figures` against their limits.

    `equal_error_rate` is the recipe's own ceiling, where it has one.
    """
    gradients, parameters = figures["gradients"], figures["parameters"]
    optimizer, frozen = figures["optimizer_differences"], figures["frozen_changed"]
    start = figures["start_changed"]
    gates = [
        _gate("losses_difference", figures["losses_difference"], LOSSES),
        _gate("gradient_difference", gradients["worst"], GRADIENTS, _of(gradients)),
        _gate("parameters_difference", parameters["worst"], PARAMETERS, _of(parameters)),
        _gate("free_difference", figures["free_difference"], FREE),
        _gate("start_difference", len(start), 0, _few(start)),
        _gate("optimizer_difference", len(optimizer), 0, "; ".join(optimizer)),
        _gate("eval_difference", figures["eval_difference"], INFERENCE),
        _gate("eval_loss_difference", figures["eval_loss_difference"], LOSSES),
        _gate("frozen_changed", len(frozen), 0, _few(frozen)),
        _gate("resume_difference", int(not figures["resume_exact"]), 0),
        _gate("inference_difference", figures["inference_difference"], INFERENCE),
        _gate("trained_difference", figures["trained_difference"], INFERENCE),
    ]
    if figures.get("ort_difference") is not None:
        gates.append(_gate("ort_difference", figures["ort_difference"], INFERENCE))
    if figures.get("nominal_exact") is not None:
        gates.append(_gate("nominal_difference", int(not figures["nominal_exact"]), 0))
    if equal_error_rate is not None:
        pooled = figures["personalised"]["pooled"]
        gates.append(_gate("equal_error_rate", pooled["rate"], equal_error_rate, trials(pooled)))
    return gates


def repeated_gates(found: Mapping[str, Any]) -> list[Gate]:
    """Hold what `verify --train` found against the limits of a build; see training/verify_child."""
    gates = []
    for form, figures in found["forms"].items():
        numbers = (
            ("losses_difference", figures["losses_difference"], LOSSES, ""),
            ("gradient_difference", *_worst(figures["gradients"], GRADIENTS)),
            ("parameters_difference", *_worst(figures["parameters"], PARAMETERS)),
            ("eval_difference", figures["eval_difference"], INFERENCE, ""),
            ("eval_loss_difference", figures["eval_loss_difference"], LOSSES, ""),
            ("frozen_changed", *_named(figures["frozen_changed"])),
            ("start_difference", *_named(figures["start_changed"])),
        )
        for figure, value, limit, note in numbers:
            gates.append(_gate(figure, value, limit, ", ".join(filter(None, (form, note)))))
    gates.append(_gate("inference_changed", *_named(found["inference_changed"])))
    if found["nominal_exact"] is not None:
        gates.append(_gate("nominal_difference", int(not found["nominal_exact"]), 0))
    return gates


def _worst(figure: Mapping[str, Any], limit: float) -> tuple[float, float, str]:
    return figure["worst"], limit, _of(figure)


def _named(names: list[str]) -> tuple[float, float, str]:
    return len(names), 0, _few(names)


def training_hint(gates: Sequence[Gate]) -> str | None:
    """Return what to do where one of these failed; None where it is no fault of the artifacts."""
    failed = {gate.figure for gate in gates if gate.status == "failed"}
    if failed & OF_STEPS:
        return STEP_HINT
    return FREE_HINT if "free_difference" in failed else None


def margin_gates(personalised: Mapping[str, Any], limit: float) -> list[Gate]:
    """Hold the shares of errors at the margin by which an application decides, of all owners."""
    pooled, note = personalised["pooled"], f"margin {personalised['margin']:g}"
    names = ("refused_at_margin", "let_in_at_margin")
    return [_gate(name, pooled[name], limit, note) for name in names]


def trials(pooled: Mapping[str, Any]) -> str:
    """Say between which values a rate lies, and how many trials it is of."""
    return (
        f"{pooled['low']:.1%} to {pooled['high']:.1%}; {pooled['owners']} trials of owners, "
        f"{pooled['impostors']} of impostors"
    )


def _gate(figure: str, value: float, limit: float, note: str = "") -> Gate:
    # A figure that is no number compares false and fails.
    return Gate(figure, float(value), limit, "passed" if value <= limit else "failed", note)


def _of(worst: Mapping[str, Any]) -> str:
    return f"of {worst['parameter']}" if worst["parameter"] else ""


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def training_figures(
    proof: Mapping[str, Any],
    inference: Mapping[str, Any],
    cost: Any,
    personalised: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what was measured as one: the JSON of the steps that prove and measure artifacts."""
    found = {
        **proof,
        "inference_difference": inference["difference"],
        "trained_difference": inference["pytorch_difference"],
        "cost": cost,
    }
    return found if personalised is None else {**found, "personalised": personalised}
