"""A build compared with the one before: size, time, memory and quality as ratios of new to old.

A shared machine drifts between two builds, so times are compared through the ratio to PyTorch eager
that each build measured in its own run, and only on machines with one fingerprint. Quality is
compared only where both builds were measured on the same inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from olive_build.proof import figures
from olive_build.proof.figures import Figure, Median
from olive_build.proof.figures.cost import memory_ratios
from olive_build.proof.verdict import gate, held, measured_gate
from olive_build.record.proof import (
    PYTORCH,
    THIS,
    Gate,
    ShortLatency,
    ShortMemory,
    Summary,
    VariantProof,
)

# The budgets of figures of quality, by their names in recipes.
QUALITIES = ("quality", "perplexity")
NONE_BEFORE = "no previous build"
ANOTHER_MACHINE = "the previous build was measured on another machine"
OTHER_INPUTS = "the previous build was measured on other inputs"
NOT_BOTH = "not both builds measured it"


def summary(proof: VariantProof) -> Summary:
    """Return those figures of a variant's proof that a later build is compared with."""
    return Summary(
        proof.size_bytes,
        figures.worst([item.figures for item in proof.quality.values()], [*_compared()]),
        tuple(
            ShortLatency(row.tokens, row.threads, row.noisy, {PYTORCH: row.ratio_to[PYTORCH]})
            for row in proof.latency or ()
            if PYTORCH in row.ratio_to
        ),
        tuple(
            ShortMemory(row.tokens, row.median, row.low, row.high)
            for row in (proof.memory or {}).get(THIS, ())
        ),
    )


def regression_gates(
    new: Summary,
    old: Summary | None,
    limits: Mapping[str, float],
    *,
    same_machine: bool,
    same_inputs: bool,
) -> list[Gate]:
    """Hold a variant's summary against the previous build's; `old` is None if there is none."""
    if old is None:
        return [
            held(_name(what), None, limit, "passed", NONE_BEFORE) for what, limit in limits.items()
        ]
    found = []
    for what, limit in limits.items():
        if what == "size":
            found.append(gate(_name(what), new.size_bytes / old.size_bytes, limit))
        elif what in QUALITIES:
            found.append(_quality(what, new.quality, old.quality, limit, same_inputs))
        elif not same_machine:
            found.append(held(_name(what), None, limit, "not measured", ANOTHER_MACHINE))
        elif what == "latency":
            found.append(_measured(what, _latency_ratios(new.latency, old.latency), limit))
        else:
            found.append(_measured(what, list(memory_ratios(new.memory, old.memory)), limit))
    return found


def _name(what: str) -> str:
    return f"regression of {what}"


def _measured(what: str, ratios: Sequence[Median], limit: float) -> Gate:
    if not ratios:
        return held(_name(what), None, limit, "not measured", NOT_BOTH)
    return measured_gate(_name(what), ratios, limit)


def _compared(under: str | None = None) -> dict[str, Figure]:
    """Return the figures of quality that the budget `under` limits, or that any budget limits."""
    return {
        name: figure
        for name, figure in figures.every().items()
        if figure.falls_under and under in (None, figure.falls_under)
    }


def _quality(
    what: str, new: Mapping[str, float], old: Mapping[str, float], limit: float, same_inputs: bool
) -> Gate:
    """Hold the largest loss of any figure that falls under this budget: `what` says how it counts.

    A perplexity counts by its ratio to the previous one, all else by what it lost of the whole.
    """
    if not same_inputs:
        return held(_name(what), None, limit, "not measured", OTHER_INPUTS)
    losses = {
        name: _lost(figure, new[name], old[name])
        for name, figure in _compared(what).items()
        if name in old and name in new
    }
    if not losses:
        return held(_name(what), None, limit, "not measured", NOT_BOTH)
    worst = max(losses, key=lambda name: losses[name])
    loss = losses[worst]
    status = gate(_name(what), loss, limit).status
    return held(_name(what), loss, limit, status, worst if what == "quality" and loss else "")


def _lost(figure: Figure, new: float, old: float) -> float:
    if figure.falls_under == "perplexity":
        return new / old
    rise = (new - old) / (figure.unit.whole or 1.0)
    # Seven digits are kept in the figures; what is beyond comes from subtracting them.
    return round(max(-rise if figure.better == "more" else rise, 0.0), 7)


def _latency_ratios(new: Sequence[ShortLatency], old: Sequence[ShortLatency]) -> list[Median]:
    before = {(row.tokens, row.threads): row for row in old}
    found = []
    for row in new:
        other = before.get((row.tokens, row.threads))
        if other is None:
            continue
        one, two = row.ratio_to[PYTORCH], other.ratio_to[PYTORCH]
        low, high = one.interval[0] / two.interval[1], one.interval[1] / max(two.interval[0], 1e-9)
        found.append(Median(one.median / two.median, low, high, row.noisy or other.noisy))
    return found
