"""What was proved of training artifacts, against its limits. Pure: for build and report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from olive_build.proof.figures import find
from olive_build.proof.verdict import gate
from olive_build.record.codec import decode
from olive_build.record.proof import ErrorRate, Gate, Personalised, Trained

MOST_NAMED = 3
# By figure: its value, None where it was not measured, and what is noted of it.
Figures = Mapping[str, tuple[float | None, str]]


def training_gates(found: Trained, equal_error_rate: float | None = None) -> list[Gate]:
    """Hold what was found of training artifacts against the figures' limits.

    `equal_error_rate` is the recipe's own ceiling, where it has one.
    """
    figures: Figures = {
        "losses_difference": (found.losses_difference, ""),
        "gradient_difference": (found.gradients.worst, _of(found.gradients.parameter)),
        "parameters_difference": (found.parameters.worst, _of(found.parameters.parameter)),
        "free_difference": (found.free_difference, ""),
        "start_difference": _named(found.start_changed),
        "optimizer_difference": _named(found.optimizer_differences, most=None),
        "eval_difference": (found.eval_difference, ""),
        "eval_loss_difference": (found.eval_loss_difference, ""),
        "frozen_changed": _named(found.frozen_changed),
        "resume_difference": (_unlike(found.resume_exact), ""),
        "inference_difference": (found.inference_difference, ""),
        "trained_difference": (found.trained_difference, ""),
        "ort_difference": (found.ort_difference, ""),
        "nominal_difference": (_unlike(found.nominal_exact), ""),
    }
    gates = list(_gates(figures))
    if equal_error_rate is not None and found.personalised:
        pooled = found.personalised.pooled
        gates.append(_gate("equal_error_rate", pooled.rate, trials(pooled), equal_error_rate))
    return gates


def repeated_gates(found: Mapping[str, Any]) -> list[Gate]:
    """Hold what `verify --train` found against the limits of a build; see training/verify_child."""
    gates: list[Gate] = []
    for form, one in found["forms"].items():
        figures: Figures = {
            "losses_difference": (one["losses_difference"], ""),
            "gradient_difference": _worst(one["gradients"]),
            "parameters_difference": _worst(one["parameters"]),
            "eval_difference": (one["eval_difference"], ""),
            "eval_loss_difference": (one["eval_loss_difference"], ""),
            "frozen_changed": _named(one["frozen_changed"]),
            "start_difference": _named(one["start_changed"]),
        }
        gates += _gates(figures, form)
    whole: Figures = {
        "inference_changed": _named(found["inference_changed"]),
        "nominal_difference": (_unlike(found["nominal_exact"]), ""),
    }
    return [*gates, *_gates(whole)]


def _gates(figures: Figures, form: str = "") -> Iterator[Gate]:
    """Yield a gate for each figure that was measured, of the files of a form."""
    for name, (value, note) in figures.items():
        if value is not None:
            yield _gate(name, value, ", ".join(filter(None, (form, note))))


def _unlike(exact: bool | None) -> int | None:
    return None if exact is None else int(not exact)


def _worst(figure: Mapping[str, Any]) -> tuple[float, str]:
    return figure["worst"], _of(figure["parameter"])


def _named(names: Sequence[str] | None, most: int | None = MOST_NAMED) -> tuple[float | None, str]:
    """Return how many there are, and the first of them; all of them where `most` is None."""
    if names is None:
        return None, ""
    if most is None:
        return len(names), "; ".join(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return len(names), ", ".join(names[:most]) + more


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
