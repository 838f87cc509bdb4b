"""What a page shows of training: the manifest's section, and what was measured of the artifacts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Figures of proof.json that are numbers, and those that name the parameter that is furthest off.
PROVED = ("losses_difference", "eval_difference", "trained_difference", "inference_difference")
WORST = {"gradient_difference": "gradients", "parameters_difference": "parameters"}


@dataclass(frozen=True)
class Cost:
    """A training step on so many threads: its median time, and the memory of its process."""

    threads: int
    milliseconds: float
    peak_bytes: float
    baseline_bytes: float

    @property
    def place(self) -> str:
        """Where it was measured: `1 thread`."""
        return f"{self.threads} thread{'s' * (self.threads > 1)}"


@dataclass(frozen=True)
class ErrorRate:
    """An equal error rate; `low` and `high` hold it with 95 % confidence. Counts are of trials."""

    name: str
    rate: float
    low: float
    high: float
    owners: int
    impostors: int


@dataclass(frozen=True)
class TrainingView:
    """What learns in a bundle, how, what a step costs and how near its figures are to PyTorch's.

    `stored_values` counts what the inference model holds, None where all of its parameters learn.
    `proved` has figures by name.
    `error_rates` are those of all owners together, then of each; none without trials.
    """

    settings: tuple[tuple[str, str], ...]
    parameters: tuple[str, ...]
    values: int
    stored_values: int | None
    steps: int
    proved: Mapping[str, float]
    least_alike: str
    costs: tuple[Cost, ...]
    error_rates: tuple[ErrorRate, ...]

    @property
    def cost(self) -> Cost:
        """The cost on the fewest threads."""
        return min(self.costs, key=lambda item: item.threads)

    @property
    def error_rate(self) -> ErrorRate | None:
        """The rate of all owners together."""
        return next(iter(self.error_rates), None)


def read_training_view(
    section: Mapping[str, Any], described: Mapping[str, Any], proved: Mapping[str, Any]
) -> TrainingView:
    """Return what a page shows.

    `section` is the manifest's `training`, `described` its variant, `proved` what proof.json has
    as the variant's `training`. Raises KeyError, TypeError or ValueError for damaged ones.
    """
    stored = described.get("stored_values") if section["frozen"] else None
    found = {name: _number(proved[name]) for name in PROVED if name in proved}
    for name, part in WORST.items():
        if part in proved:
            found[name] = _number(proved[part]["worst"])
    return TrainingView(
        settings=tuple(_settings(section).items()),
        parameters=tuple(str(item["name"]) for item in section["trainable"]),
        values=int(section["trainable_values"]),
        stored_values=None if stored is None else int(stored),
        steps=int(proved["steps"]),
        proved=found,
        least_alike=str(proved["gradients"]["parameter"]),
        costs=_costs(proved["cost"]),
        error_rates=_error_rates(proved.get("personalised")),
    )


def _settings(section: Mapping[str, Any]) -> dict[str, str]:
    """Return loss, optimizer and the rest as they are read."""
    loss, optimizer = dict(section["loss"]), dict(section["optimizer"])
    first = section["inputs"][0]["axes"][0]
    labels = [str(label) for label in section["labels"]]
    optimizer = {name: optimizer.pop(name) for name in ("name", "lr")} | optimizer
    found = {
        "Loss": _with(loss.pop("name"), loss),
        "Optimizer": _with(optimizer.pop("name"), optimizer),
        "Batch": f"{first}, fixed in the graphs"
        if isinstance(first, int)
        else f"{int(section['batch_size'])}; the graphs take any",
        "Epochs": str(int(section["epochs"])),
    }
    return found | ({"Classes": f"{len(labels)}: {', '.join(labels)}"} if labels else {})


def _with(name: Any, settings: Mapping[str, Any]) -> str:
    """Return `adamw: lr 0.003, betas 0.9 0.999`; what is not set is left out."""
    said = [
        f"{key.replace('_', ' ')} {_text(value)}"
        for key, value in settings.items()
        if value not in (None, [], ())
    ]
    return f"{name}: {', '.join(said)}" if said else str(name)


def _text(value: Any) -> str:
    return " ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _costs(cost: Mapping[str, Any]) -> tuple[Cost, ...]:
    found = [_cost(cost)]
    if "all_cores" in cost:
        found.append(_cost(cost["all_cores"]))
    # On one core both are the same.
    return tuple({item.threads: item for item in reversed(found)}.values())[::-1]


def _cost(found: Mapping[str, Any]) -> Cost:
    return Cost(
        int(found["threads"]),
        _number(found["milliseconds_per_step"]),
        _number(found["peak_bytes"]),
        _number(found["baseline_bytes"]),
    )


def _error_rates(personalised: Mapping[str, Any] | None) -> tuple[ErrorRate, ...]:
    if personalised is None:
        return ()
    owners = personalised["owners"]
    named = [("all owners", personalised["pooled"]), *sorted(owners.items())]
    return tuple(
        ErrorRate(
            str(name),
            _number(item["rate"]),
            _number(item["low"]),
            _number(item["high"]),
            int(item["owners"]),
            int(item["impostors"]),
        )
        for name, item in named
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} stands where a number is expected")
    return float(value)
