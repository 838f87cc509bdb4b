"""What was proved of training artifacts, against its limits. Pure: for build and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from olive_build.proof.figures import find
from olive_build.proof.verdict import gate
from olive_build.record.codec import decode
from olive_build.record.proof import ErrorRate, Gate, Personalised, Trained


def training_gates(found: Trained, equal_error_rate: float | None = None) -> list[Gate]:
    """Hold what was found of training artifacts against the figures' limits.

    `equal_error_rate` is the recipe's own ceiling, where it has one.
    """
    gates = [
        _gate("losses_difference", found.losses_difference),
        _gate("gradient_difference", found.gradients.worst, _of(found.gradients.parameter)),
        _gate("parameters_difference", found.parameters.worst, _of(found.parameters.parameter)),
        *_where_measured("free_difference", found.free_difference),
        *_start(found.start_changed),
        _gate(
            "optimizer_difference",
            len(found.optimizer_differences),
            "; ".join(found.optimizer_differences),
        ),
        *_where_measured("eval_difference", found.eval_difference),
        *_where_measured("eval_loss_difference", found.eval_loss_difference),
        _gate("frozen_changed", len(found.frozen_changed), _few(found.frozen_changed)),
        *_where_measured("resume_difference", _unlike(found.resume_exact)),
        _gate("inference_difference", found.inference_difference),
        *_where_measured("trained_difference", found.trained_difference),
        *_where_measured("ort_difference", found.ort_difference),
        *_where_measured("nominal_difference", _unlike(found.nominal_exact)),
    ]
    if equal_error_rate is not None and found.personalised:
        pooled = found.personalised.pooled
        gates.append(_gate("equal_error_rate", pooled.rate, trials(pooled), equal_error_rate))
    return gates


def _start(changed: Sequence[str] | None) -> list[Gate]:
    return [] if changed is None else [_gate("start_difference", len(changed), _few(changed))]


def _where_measured(figure: str, value: float | None) -> list[Gate]:
    return [] if value is None else [_gate(figure, value)]


def _unlike(exact: bool | None) -> int | None:
    return None if exact is None else int(not exact)


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
    return figure["worst"], _of(figure["parameter"])


def _named(names: list[str]) -> tuple[float, str]:
    return len(names), _few(names)


def margin_gates(found: Personalised, limit: float) -> list[Gate]:
    """Hold the shares of errors at the margin by which an application decides, of all owners."""
    note = f"margin {found.margin:g}"
    shares = {
        "refused_at_margin": found.pooled.refused_at_margin,
        "let_in_at_margin": found.pooled.let_in_at_margin,
    }
    return [_gate(name, share, note, limit) for name, share in shares.items() if share is not None]


def trials(pooled: ErrorRate) -> str:
    """Return the interval of a rate and the number of its trials, in words."""
    return (
        f"{pooled.low:.1%} to {pooled.high:.1%}; {pooled.owners} trials of owners, "
        f"{pooled.impostors} of impostors"
    )


def _gate(figure: str, value: float, note: str = "", limit: float | None = None) -> Gate:
    """Hold a figure to its own limit, or to the one that a recipe sets."""
    limit = find(figure).limit if limit is None else limit
    assert limit is not None, f"nothing limits {figure}"
    return replace(gate(figure, float(value), limit), note=note)


def _of(parameter: str) -> str:
    return f"of {parameter}" if parameter else ""


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def training_figures(
    proof: Mapping[str, object],
    inference: Mapping[str, object],
    cost: object,
    personalised: object | None,
) -> Trained:
    """Return what was measured as one, from the JSON of the steps that prove and measure."""
    found = {
        **proof,
        "inference_difference": inference["difference"],
        "trained_difference": inference["pytorch_difference"],
        "cost": cost,
    }
    if personalised is not None:
        found["personalised"] = personalised
    return decode(Trained, found)
