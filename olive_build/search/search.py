"""The search: measures sensitivity first, then promotes layers by quality gained for time.

1. Each ladder at its plainest is measured; the nearest to the goal is climbed first, and one that
   cannot be expected to become faster than what holds already is left alone.
2. A ladder's helps (smoothing, GPTQ, percentiles) cost no time at run time, or little; each is kept
   if it lowers the loss.
3. With every layer on one rung, the loss that each layer causes by itself is measured; with times
   and sizes of the uniform graphs this gives each layer's choices, and their best order.
4. How many steps of that order are needed is guessed from the sum of what they gain and corrected
   by what is measured, end to end each time: single layers do not add up exactly. Where speed has
   floors, steps are taken until quality has as much room as speed. Where nothing holds, the counts
   beside the last one are tried too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from olive_build.errors import OliveBuildError
from olive_build.methods import Ladder, Method, Rung
from olive_build.search.goal import Goal, Standing, mean_time
from olive_build.search.promotion import LayerOption, Promotion, assignment, promotions

# A help that gains less than this share of the loss is not worth its build time.
LEAST_GAIN = 0.02
MOST_PROBES = 8
# Losses of neighbouring counts scatter by some percent: where none holds, so many more are tried.
BESIDE = 8
NOTHING = 1e-9
# A shortcut leaves work out: less than this in its disfavour is noise of the measurement. It may
# lose at most this share more quality.
MOST_SLOWER = 0.03
MOST_LOST = 0.05
# Smoothing, GPTQ and percentiles together have been seen to divide a loss by up to this.
HOPE = 10.0
FP32_TIMES = 1.0
NO_ROOM = 1e-6  # of the fp32 file: sizes of equal graphs differ by names


class CannotBuildError(Exception):
    """A candidate that fails to build; `cause` is the step's own error."""

    def __init__(self, cause: OliveBuildError) -> None:
        super().__init__(f"{cause.what}: {cause.why}" if cause.why else cause.what)
        self.cause = cause


class OutOfTimeError(Exception):
    """The time that the recipe gives the search is over."""


@dataclass(frozen=True)
class LayerCost:
    """One layer of a quantized graph: its weights' bytes in fp32, the loss that it alone causes."""

    node: str
    operator: str
    weight_bytes: int
    damage: float


class Measures(Protocol):
    """What a search asks of a candidate. Raises CannotBuildError, OutOfTimeError."""

    def quality(self, method: Method | None) -> tuple[dict[str, Any], float, float]:
        """Return the figures, the size over the fp32 file's, and the size in 10^6 bytes."""

    def speed(self, method: Method | None) -> dict[int, float]:
        """Return {timed size: time over the fp32 graph's}; of the fp32 graph, over PyTorch's."""

    def damage(self, method: Method) -> list[LayerCost]:
        """Return what each quantized layer costs at the model's end."""


@dataclass(frozen=True)
class Attempt:
    """What was measured of one method. `times` is None where its quality ruled it out."""

    name: str
    method: Method
    figures: Mapping[str, Any]
    size_ratio: float
    times: Mapping[int, float] | None
    standing: Standing

    @property
    def time(self) -> float:
        return mean_time(self.times) if self.times else math.inf


@dataclass
class Searcher:
    """Runs once; `candidates` is all that was measured, `failures` what could not be built."""

    measures: Measures
    goal: Goal
    report: Callable[[Attempt], None]
    seed: int = 0
    candidates: list[Attempt] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    out_of_time: bool = False

    def run(self, ladders: Sequence[Ladder]) -> Attempt | None:
        """Return the fastest candidate that holds the goal, else the nearest; None without any."""
        try:
            feet = [(foot, ladder) for ladder in ladders if (foot := self._foot(ladder))]
            for foot, ladder in sorted(feet, key=lambda pair: pair[0].standing.loss):
                # What has room at its foot gains nothing by climbing.
                if not (
                    foot.standing.holds and self.goal.has_room(foot.standing)
                ) and self._is_promising(foot, ladder):
                    self._climb(ladder)
        except OutOfTimeError:
            self.out_of_time = True
        return self.best

    @property
    def best(self) -> Attempt | None:
        """The fastest candidate that holds, else the one that is nearest to holding.

        Where speed has floors, the one with the most room: it shall hold on other data too.
        """
        timed = [item for item in self.candidates if item.times]
        holding = [item for item in timed if item.standing.holds]
        if holding:
            floors = self.goal.has_speed_floors
            risk = {item.name: item.standing.risk if floors else 0.0 for item in holding}
            return min(holding, key=lambda item: (risk[item.name], item.time, item.size_ratio))
        return min(self.candidates, key=lambda item: item.standing.worst, default=None)

    def _foot(self, ladder: Ladder) -> Attempt | None:
        method = ladder.uniform(0)
        assert method is not None
        return self._try(f"{ladder.name}, {ladder.rungs[0].name}", method, timed=True)

    def _is_promising(self, foot: Attempt, ladder: Ladder) -> bool:
        """Return whether a ladder could still give something faster than what holds already.

        Its foot's layers go to fp32, the most damaging for their time first, until the loss that
        is left is one that helps have been seen to repair.
        """
        best = self.best
        if best is None:
            return True
        if not self._is_settled(best):
            return foot.standing.loss <= HOPE * max(best.standing.loss, 1)
        last = len(ladder.rungs) - 1
        costs = self._layers(ladder, foot.method)
        total = sum(cost.weight_bytes for cost in costs) or 1
        layers = {
            cost.node: [
                LayerOption(0, cost.weight_bytes / total * foot.time, cost.damage, 0.0),
                LayerOption(last, cost.weight_bytes / total * FP32_TIMES, 0.0, 0.0),
            ]
            for cost in costs
        }
        damage = left = sum(cost.damage for cost in costs)
        time = foot.time
        for step in promotions(layers, self.seed):
            if foot.standing.loss * left <= HOPE * damage:
                break
            left, time = left - step.gain, time + step.cost
        return time < best.time

    def _is_settled(self, found: Attempt) -> bool:
        return found.standing.holds and self.goal.has_room(found.standing)

    def _layers(self, ladder: Ladder, method: Method) -> list[LayerCost]:
        return [c for c in self.measures.damage(method) if c.operator in ladder.operators]

    def _climb(self, ladder: Ladder) -> None:
        ladder = self._helped(ladder)
        layers = self._choices(ladder)
        if not layers:
            return
        steps = promotions(layers, self.seed)
        known = self._at(ladder, layers, steps, 0)
        if known is None or self.goal.has_room(known.standing):
            return
        self._approach(ladder, layers, steps, known)

    def _helped(self, ladder: Ladder) -> Ladder:
        """Return the ladder with those helps that lower the loss, tried one after the other."""
        rung = min(1, len(ladder.rungs) - 2)
        best = self._uniform(ladder, rung)
        tried: set[str] = set()
        while best is not None:
            fresh = [item for item in ladder.refinements() if item.name not in tried]
            if not fresh:
                break
            tried.add(fresh[0].name)
            found = self._uniform(fresh[0], rung)
            if found is not None and _lower(found, best):
                ladder, best, tried = fresh[0], found, set()
        return self._shortened(ladder, rung)

    def _shortened(self, ladder: Ladder, rung: int) -> Ladder:
        """Return the ladder with those shortcuts that save time and lose next to nothing."""
        for shorter in ladder.shortcuts():
            long = self._uniform(ladder, rung, timed=True)
            short = self._uniform(shorter, rung, timed=True)
            if long is None or short is None:
                continue
            saves = short.time < long.time * (1 + MOST_SLOWER)
            if saves and short.standing.loss <= long.standing.loss * (1 + MOST_LOST):
                ladder = shorter
        return ladder

    def _choices(self, ladder: Ladder) -> dict[str, list[LayerOption]]:
        """Return each layer's cost, damage and size on every rung."""
        rows: list[tuple[int, Rung, float, float, dict[str, LayerCost] | None]] = []
        for rung, item in enumerate(ladder.rungs):
            method = ladder.uniform(rung)
            if method is None:
                rows.append((rung, item, FP32_TIMES, 1.0, None))
            elif found := self._uniform(ladder, rung, timed=True):
                costs = {cost.node: cost for cost in self.measures.damage(method)}
                rows.append((rung, item, found.time, found.size_ratio, costs))
        if not rows or rows[0][4] is None:
            return {}
        layers = {
            name: cost for name, cost in rows[0][4].items() if cost.operator in ladder.operators
        }
        total = sum(cost.weight_bytes for cost in layers.values()) or 1
        first = rows[0][2]
        choices: dict[str, list[LayerOption]] = {name: [] for name in layers}
        for rung, item, time, size, losses in rows:
            for name, layer in layers.items():
                weight = layer.weight_bytes / total
                share = weight if item.spread == "weights" else 1 / len(layers)
                damage = losses[name].damage if losses and name in losses else 0.0
                cost = weight * first + share * (time - first)
                choices[name].append(LayerOption(rung, cost, damage, weight * size))
        return choices

    def _approach(
        self,
        ladder: Ladder,
        layers: Mapping[str, Sequence[LayerOption]],
        steps: Sequence[Promotion],
        foot: Attempt,
    ) -> None:
        """Find the fewest steps that hold, guessed by damage and corrected by what was measured."""
        total = sum(choices[0].damage for choices in layers.values())
        low, high, scale = 0, len(steps) + 1, foot.standing.loss
        for _ in range(MOST_PROBES):
            if high - low <= 1:
                break
            count = min(max(_steps_needed(steps, total, scale), low + 1), high - 1)
            found = self._at(ladder, layers, steps, count)
            if found is not None and self.goal.has_room(found.standing):
                high = count
            else:
                low = count
            if found is not None:
                scale = found.standing.loss / _left(steps[:count], total)
        last = high if high <= len(steps) else low
        near = sorted(range(1, len(steps) + 1), key=lambda count: (abs(count - last), count))
        for count in near[:BESIDE]:
            if any(item.times and item.standing.holds for item in self.candidates):
                return
            self._at(ladder, layers, steps, count)

    def _at(
        self,
        ladder: Ladder,
        layers: Mapping[str, Sequence[LayerOption]],
        steps: Sequence[Promotion],
        count: int,
    ) -> Attempt | None:
        """Measure the graph after the first `count` steps."""
        size = sum(choices[0].size for choices in layers.values())
        # What is too large at the foot may still climb where that takes no more room.
        room = max((self.goal.budgets.limit("size_ratio") or 1.0) - size, NO_ROOM)
        rungs = assignment(layers, steps[:count], room=room)
        return self._try(f"{ladder.name}, {count} steps up", ladder.assigned(rungs))

    def _uniform(self, ladder: Ladder, rung: int, *, timed: bool = False) -> Attempt | None:
        method = ladder.uniform(rung)
        assert method is not None
        return self._try(f"{ladder.name}, {ladder.rungs[rung].name}", method, timed=timed)

    def _try(self, name: str, method: Method, *, timed: bool = False) -> Attempt | None:
        """Measure a candidate; its speed only where asked, or where its quality holds."""
        known = next((item for item in self.candidates if item.method == method), None)
        if known is not None and (known.times or not timed):
            return known
        try:
            figures, ratio, megabytes = self.measures.quality(method)
            standing = self.goal.standing(figures, ratio, megabytes, None)
            times = self.measures.speed(method) if timed or standing.holds else None
        except CannotBuildError as error:
            self.failures[name] = str(error)
            return None
        standing = self.goal.standing(figures, ratio, megabytes, times)
        found = Attempt(name, method, figures, ratio, times, standing)
        if known is not None:
            self.candidates.remove(known)
        self.candidates.append(found)
        self.report(found)
        return found


def _lower(one: Attempt, other: Attempt) -> bool:
    """Return whether the first loses clearly less quality."""
    least = 1 - LEAST_GAIN
    if one.standing.loss != other.standing.loss:
        return one.standing.loss < other.standing.loss * least
    return one.standing.fine < other.standing.fine * least


def _steps_needed(steps: Sequence[Promotion], total: float, scale: float) -> int:
    """Return after how many steps the loss holds, being `scale` times the damage that is left."""
    return next(
        (count for count in range(len(steps)) if scale * _left(steps[:count], total) <= 1),
        len(steps),
    )


def _left(steps: Sequence[Promotion], total: float) -> float:
    """Return the share of the damage that is left after the steps; a little is always left."""
    return max(1 - sum(step.gain for step in steps) / max(total, NOTHING), NOTHING)
