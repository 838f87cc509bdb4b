"""What was proved of training artifacts, against its limits. Pure: for build and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from olive_build.proof.figures import find
from olive_build.proof.verdict import Gate, gate

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
OF_STEPS = {"losses_difference", "gradient_difference", "parameters_difference"}


def training_gates(figures: Mapping[str, Any], equal_error_rate: float | None) -> list[Gate]:
    """Hold the figures of `training_figures` against their limits.

    `equal_error_rate` is the recipe's own ceiling, where it has one.
    """
    gradients, parameters = figures["gradients"], figures["parameters"]
    optimizer, frozen = figures["optimizer_differences"], figures["frozen_changed"]
    start = figures["start_changed"]
    gates = [
        _gate("losses_difference", figures["losses_difference"]),
        _gate("gradient_difference", gradients["worst"], _of(gradients)),
        _gate("parameters_difference", parameters["worst"], _of(parameters)),
        _gate("free_difference", figures["free_difference"]),
        _gate("start_difference", len(start), _few(start)),
        _gate("optimizer_difference", len(optimizer), "; ".join(optimizer)),
        _gate("eval_difference", figures["eval_difference"]),
        _gate("eval_loss_difference", figures["eval_loss_difference"]),
        _gate("frozen_changed", len(frozen), _few(frozen)),
        _gate("resume_difference", int(not figures["resume_exact"])),
        _gate("inference_difference", figures["inference_difference"]),
        _gate("trained_difference", figures["trained_difference"]),
    ]
    if figures.get("ort_difference") is not None:
        gates.append(_gate("ort_difference", figures["ort_difference"]))
    if figures.get("nominal_exact") is not None:
        gates.append(_gate("nominal_difference", int(not figures["nominal_exact"])))
    if equal_error_rate is not None:
        pooled = figures["personalised"]["pooled"]
        gates.append(_gate("equal_error_rate", pooled["rate"], trials(pooled), equal_error_rate))
    return gates


def repeated_gates(found: Mapping[str, Any]) -> list[Gate]:
    """Hold what `verify --train` found against the limits of a build; see training/verify_child."""
    gates = []
    for form, figures in found["forms"].items():
        numbers = (
            ("losses_difference", figures["losses_difference"], ""),
            ("gradient_difference", *_worst(figures["gradients"])),
            ("parameters_difference", *_worst(figures["parameters"])),
            ("eval_difference", figures["eval_difference"], ""),
            ("eval_loss_difference", figures["eval_loss_difference"], ""),
            ("frozen_changed", *_named(figures["frozen_changed"])),
            ("start_difference", *_named(figures["start_changed"])),
        )
        for figure, value, note in numbers:
            gates.append(_gate(figure, value, ", ".join(filter(None, (form, note)))))
    gates.append(_gate("inference_changed", *_named(found["inference_changed"])))
    if found["nominal_exact"] is not None:
        gates.append(_gate("nominal_difference", int(not found["nominal_exact"])))
    return gates


def _worst(figure: Mapping[str, Any]) -> tuple[float, str]:
    return figure["worst"], _of(figure)


def _named(names: list[str]) -> tuple[float, str]:
    return len(names), _few(names)


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
    return [_gate(name, pooled[name], note, limit) for name in names]


def trials(pooled: Mapping[str, Any]) -> str:
    """Say between which values a rate lies, and how many trials it is of."""
    return (
        f"{pooled['low']:.1%} to {pooled['high']:.1%}; {pooled['owners']} trials of owners, "
        f"{pooled['impostors']} of impostors"
    )


def _gate(figure: str, value: float, note: str = "", limit: float | None = None) -> Gate:
    """Hold a figure to its own limit, or to the one that a recipe sets."""
    limit = find(figure).limit if limit is None else limit
    assert limit is not None, f"nothing limits {figure}"
    return replace(gate(figure, float(value), limit), note=note)


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
