"""A build against the one before it: sizes, times, memory and quality as ratios of new to old.

A shared machine drifts between two builds, so times are compared through the ratio to PyTorch eager
that each build measured in its own run, and only on machines with one fingerprint. Quality is
compared only where both builds were measured on the same inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olive_build.proof.verdict import (
    FLOORS,
    PYTORCH,
    Gate,
    Measured,
    Row,
    gate,
    measured_gate,
    memory_ratios,
)

PERPLEXITY = "perplexity"
NONE_BEFORE = "no previous build"
ANOTHER_MACHINE = "the previous build was measured on another machine"
OTHER_INPUTS = "the previous build was measured on other inputs"
NOT_BOTH = "not both builds measured it"


def summary(variant: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a variant's proof a later build is compared with."""
    forms = list(variant["quality"].values())
    latency = variant.get("latency") or []
    return {
        "size_bytes": variant["size_bytes"],
        "quality": {
            name: (min if name in FLOORS else max)(form[name] for form in forms)
            for name in (*FLOORS, PERPLEXITY)
            if forms and all(name in form for form in forms)
        },
        "latency": [
            {key: row[key] for key in ("tokens", "threads", "noisy")}
            | {"ratio_to": {PYTORCH: row["ratio_to"][PYTORCH]}}
            for row in latency
            if PYTORCH in row["ratio_to"]
        ],
        "memory": [
            {key: row[key] for key in ("tokens", "median", "low", "high")}
            for row in (variant.get("memory") or {}).get("this file", [])
        ],
    }


def regression_gates(
    new: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    limits: Mapping[str, float],
    *,
    same_machine: bool,
    same_inputs: bool,
) -> list[Gate]:
    """Hold a variant's summary against the previous build's; `old` is None where there is none."""
    if old is None:
        return [
            Gate(_name(what), None, limit, "passed", NONE_BEFORE) for what, limit in limits.items()
        ]
    found = []
    for what, limit in limits.items():
        if what == "size":
            found.append(gate(_name(what), new["size_bytes"] / old["size_bytes"], limit))
        elif what == "perplexity":
            found.append(_perplexity(new["quality"], old["quality"], limit, same_inputs))
        elif what == "quality":
            found.append(_quality(new["quality"], old["quality"], limit, same_inputs))
        elif not same_machine:
            found.append(Gate(_name(what), None, limit, "not measured", ANOTHER_MACHINE))
        else:
            compare = _latency_ratios if what == "latency" else _memory_ratios
            found.append(_measured(what, compare(new[what], old[what]), limit))
    return found


def _name(what: str) -> str:
    return f"regression of {what}"


def _measured(what: str, ratios: Sequence[Measured], limit: float) -> Gate:
    if not ratios:
        return Gate(_name(what), None, limit, "not measured", NOT_BOTH)
    return measured_gate(_name(what), ratios, limit)


def _quality(
    new: Mapping[str, float], old: Mapping[str, float], limit: float, same_inputs: bool
) -> Gate:
    if not same_inputs:
        return Gate(_name("quality"), None, limit, "not measured", OTHER_INPUTS)
    falls = {name: old[name] - new[name] for name in FLOORS if name in old and name in new}
    if not falls:
        return Gate(_name("quality"), None, limit, "not measured", NOT_BOTH)
    worst = max(falls, key=lambda name: falls[name])
    # Seven digits are kept in the figures; what is beyond comes from subtracting them.
    fall = round(max(falls[worst], 0.0), 7)
    status = gate(_name("quality"), fall, limit).status
    return Gate(_name("quality"), fall, limit, status, worst if fall else "")


def _perplexity(
    new: Mapping[str, float], old: Mapping[str, float], limit: float, same_inputs: bool
) -> Gate:
    if not same_inputs:
        return Gate(_name(PERPLEXITY), None, limit, "not measured", OTHER_INPUTS)
    if PERPLEXITY not in new or PERPLEXITY not in old:
        return Gate(_name(PERPLEXITY), None, limit, "not measured", NOT_BOTH)
    return gate(_name(PERPLEXITY), new[PERPLEXITY] / old[PERPLEXITY], limit)


def _latency_ratios(new: Sequence[Row], old: Sequence[Row]) -> list[Measured]:
    before = {(row["tokens"], row["threads"]): row for row in old}
    found = []
    for row in new:
        other = before.get((row["tokens"], row["threads"]))
        if other is None:
            continue
        one, two = row["ratio_to"][PYTORCH], other["ratio_to"][PYTORCH]
        found.append(
            Measured(
                one["median"] / two["median"],
                one["median_from"] / two["median_to"],
                one["median_to"] / max(two["median_from"], 1e-9),
                row["noisy"] or other["noisy"],
            )
        )
    return found


def _memory_ratios(new: Sequence[Row], old: Sequence[Row]) -> list[Measured]:
    return list(memory_ratios(new, old))
