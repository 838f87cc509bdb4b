"""The goal of a search: how far a candidate is from its budgets. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

from olive_build.proof.figures import Figure, find
from olive_build.recipe.build import Budgets

# The search's data are not the proof's: a candidate must keep to this share of what it may lose.
# Where speed has floors, room is weighed against speed instead, and the share would count twice.
SHARE = 0.95
# Where speed has floors, what is faster than they ask buys nothing, and room in quality is worth
# having: other data differ. This share of what may be lost leaves room enough.
COMFORT = 0.85
# The mean says how near a candidate is even where the figures that are asked for are coarse.
TIE_BREAKER = "cosine_mean"


@dataclass(frozen=True)
class Standing:
    """How far a candidate is from its budgets; at most 1 holds. `limit` names the furthest."""

    loss: float
    size: float
    speed: float
    limit: str
    fine: float

    @property
    def holds(self) -> bool:
        return self.worst <= 1

    @property
    def risk(self) -> float:
        """How near what varies with data and runs is to its limit; none below COMFORT."""
        return max(self.loss, self.speed, COMFORT)

    @property
    def worst(self) -> float:
        return max(self.loss, self.size, self.speed)


@dataclass(frozen=True)
class Goal:
    """The budgets of one variant. `pytorch` is the fp32 graph's time over PyTorch's, by size."""

    budgets: Budgets
    pytorch: Mapping[int, float]
    gated_speed: bool

    @property
    def has_speed_floors(self) -> bool:
        return bool(self.budgets.speedup)

    def has_room(self, standing: Standing) -> bool:
        """Return whether the quality needs no more steps up: it holds, and has its share of room.

        Without floors of speed it has none: the fastest that holds is wanted.
        """
        return standing.loss <= (max(standing.speed, COMFORT) if self.has_speed_floors else 1)

    def judged(self, figures: Collection[str]) -> list[tuple[Figure, float]]:
        """Return those of the figures that have a limit and that quantizing moves, with it."""
        found = [(find(name), limit) for name, limit in self.budgets.figures if name in figures]
        return [item for item in found if item[0].metrics and item[0].searched]

    def loss(self, figures: Mapping[str, Any]) -> tuple[float, str]:
        """Return the largest loss of quality over what may be lost, and the figure's name."""
        shares = [(0.0, "")]
        share = 1.0 if self.has_speed_floors else SHARE
        shares += [
            (figure.lost(figures[figure.name], limit, share), figure.name)
            for figure, limit in self.judged(figures)
        ]
        return max(shares)

    def standing(
        self,
        figures: Mapping[str, Any],
        size_ratio: float,
        size_mb: float,
        times: Mapping[int, float] | None,
    ) -> Standing:
        """Return how a candidate stands. `times` are over the fp32 graph's; None: not timed yet."""
        loss, figure = self.loss(figures)
        size, size_name = self._size(size_ratio, size_mb)
        speed, speed_name = self._speed(times) if times is not None else (0.0, "")
        limit = max((loss, figure), (size, size_name), (speed, speed_name))[1]
        return Standing(loss, size, speed, limit, 1 - figures.get(TIE_BREAKER, 1.0))

    def _size(self, ratio: float, megabytes: float) -> tuple[float, str]:
        pairs = (
            (ratio, self.budgets.limit("size_ratio"), "size_ratio"),
            (megabytes, self.budgets.limit("size_mb"), "size_mb"),
        )
        return max(((v / limit, name) for v, limit, name in pairs if limit), default=(0.0, ""))

    def _speed(self, times: Mapping[int, float]) -> tuple[float, str]:
        shares = [(0.0, "")]
        slowdown = self.budgets.limit("slowdown")
        if slowdown and self.gated_speed:
            shares.append((max(times.values()) / slowdown, "slowdown"))
        for floor in self.budgets.speedup or ():
            sizes = [floor.size] if floor.size is not None else list(times)
            shares += [
                (floor.at_least * times[size] * self.pytorch[size], "speedup")
                for size in sizes
                if size in times
            ]
        return max(shares)


def mean_time(times: Mapping[int, float]) -> float:
    """Return the geometric mean over the timed sizes: what `faster` means."""
    return geometric_mean(times.values())
