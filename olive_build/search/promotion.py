"""Which layers to make more exact first: by quality gained for time. Pure functions.

Each layer has a point (cost, damage) for every rung of the ladder. Only the lower convex hull of a
layer's points matters: on it, each further step gains less for its cost than the one before, so
that sorting all steps of all layers by gain over cost is a greedy order that is optimal for the
relaxed problem (the multiple-choice knapsack: Sinha and Zoltners 1979, Operations Research 27(3)).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A step that costs nothing measurable is still a step; it must not divide by zero.
LEAST_COST = 1e-6


@dataclass(frozen=True)
class LayerOption:
    """A layer on one rung: its share of the time, its size, and the loss that it causes."""

    rung: int
    cost: float
    damage: float
    size: float


@dataclass(frozen=True)
class Promotion:
    """A layer's step from one rung to a higher one."""

    layer: str
    rung: int
    gain: float
    cost: float
    size: float

    @property
    def worth(self) -> float:
        """The fidelity gained for its cost."""
        return self.gain / max(self.cost, LEAST_COST)


def promotions(layers: Mapping[str, Sequence[LayerOption]], seed: int = 0) -> tuple[Promotion, ...]:
    """Return all steps worth taking, the best first; a layer's own steps stay in order.

    `seed` decides between steps of equal worth, always in the same way.
    """
    found = [step for name in sorted(layers) for step in _steps(name, layers[name])]
    return tuple(sorted(found, key=lambda step: (-step.worth, _drawn(seed, step.layer), step.rung)))


def _drawn(seed: int, layer: str) -> str:
    return hashlib.sha256(f"{seed}/{layer}".encode()).hexdigest()


def assignment(
    layers: Mapping[str, Sequence[LayerOption]], steps: Sequence[Promotion], room: float
) -> dict[str, int]:
    """Return the rung of every layer after `steps`; one that needs more than the `room` is left.

    `room` is how much the sizes may grow in all.
    """
    rungs = {name: _start(choices).rung for name, choices in layers.items()}
    left = room
    stuck: set[str] = set()
    for step in steps:
        if step.layer in stuck:
            continue
        if step.size > left:
            stuck.add(step.layer)
            continue
        rungs[step.layer] = step.rung
        left -= step.size
    return rungs


def _start(choices: Sequence[LayerOption]) -> LayerOption:
    """Return the cheapest choice; of equals the least damaging."""
    return min(choices, key=lambda choice: (choice.cost, choice.damage, choice.rung))


def _steps(name: str, choices: Sequence[LayerOption]) -> list[Promotion]:
    """Return the steps along the lower hull of a layer's points, from the cheapest on."""
    here = _start(choices)
    found = []
    while better := [c for c in choices if c.damage < here.damage and c.cost >= here.cost]:
        start = here
        best = max(
            better,
            key=lambda c: (
                (start.damage - c.damage) / max(c.cost - start.cost, LEAST_COST),
                -c.cost,
            ),
        )
        found.append(
            Promotion(
                name,
                best.rung,
                here.damage - best.damage,
                best.cost - here.cost,
                best.size - here.size,
            )
        )
        here = best
    return found
