"""The search on landscapes whose best is known: it finds it, says so, and stops when it must."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from olive_build.errors import StepError
from olive_build.methods import Method, escaped
from olive_build.methods.dynamic_int8 import DynamicInt8, DynamicLadder
from olive_build.methods.static_int8 import StaticInt8, StaticLadder
from olive_build.recipe.build import Budgets, SizedFloor
from olive_build.search.goal import Goal, Standing
from olive_build.search.promotion import LayerOption, Promotion
from olive_build.search.search import Attempt, CannotBuildError, LayerCost, OutOfTimeError, Searcher

# By layer: the loss with one range for all, with each token's own, in blocks of 128 and of 32.
LOSSES = {
    "a/MatMul": (1e-5, 1e-5, 1e-6, 1e-7),
    "b/MatMul": (8e-3, 1e-4, 1e-5, 1e-6),
    "c/MatMul": (1e-4, 9e-5, 1e-5, 1e-6),
    "d/MatMul": (2e-3, 2e-3, 1e-4, 1e-6),
}
# What each rung takes of a layer's share of the time, over fp32.
TIMES = (0.30, 0.34, 0.60, 0.75, 1.0)
SIZES = (0.25, 0.25, 0.26, 0.28, 1.0)
PYTORCH = {16: 0.5, 128: 0.5}


@dataclass
class Landscape:
    """Losses and times that add up over four equal layers; GPTQ halves, smoothing thirds."""

    static_works: bool = False
    calls_left: int = 1000
    asked: list[Method | None] = field(default_factory=list)

    def quality(self, method: Method | None) -> tuple[dict[str, Any], float, float]:
        self._ask(method)
        rungs = self._rungs(method)
        loss = sum(self._loss(method, name, rung) for name, rung in rungs.items())
        size = sum(SIZES[rung] for rung in rungs.values()) / len(rungs)
        figures = {"cosine_p1": 1 - loss, "cosine_mean": 1 - loss / 2}
        return figures, size, size * 90

    def speed(self, method: Method | None) -> dict[int, float]:
        self._ask(method)
        if method is None:
            return PYTORCH
        rungs = self._rungs(method)
        time = sum(TIMES[rung] for rung in rungs.values()) / len(rungs)
        return {16: time, 128: time}

    def damage(self, method: Method) -> list[LayerCost]:
        self._ask(method)
        return [
            LayerCost(name, "MatMul", 1000, self._loss(method, name, rung))
            for name, rung in self._rungs(method).items()
        ] + [LayerCost("words/Gather", "Gather", 9000, 1e-6)]

    def _ask(self, method: Method | None) -> None:
        if self.calls_left == 0:
            raise OutOfTimeError
        self.calls_left -= 1
        self.asked.append(method)
        if isinstance(method, StaticInt8) and not self.static_works:
            raise CannotBuildError(StepError("a range is not finite", why="value 'mask'"))

    def _rungs(self, method: Method | None) -> dict[str, int]:
        return {name: self._rung(method, name) for name in LOSSES}

    def _rung(self, method: Any, name: str) -> int:
        if method is None or name in method.exclude:
            return 4
        for item in getattr(method, "overrides", ()):
            if name in item.nodes:
                return {128: 2, 32: 3}[item.block_size]
        if isinstance(method, DynamicInt8):
            return int(method.per_token == "all" or name in method.per_token)
        return 0 if isinstance(method, StaticInt8) else {128: 2, 32: 3}[method.block_size]

    def _loss(self, method: Any, name: str, rung: int) -> float:
        if rung == 4 or method is None:
            return 0.0
        helps = (2 if getattr(method, "rounding", "") == "gptq" else 1) * (
            3 if method.smooth and isinstance(method, DynamicInt8) else 1
        )
        worse = 30 if isinstance(method, StaticInt8) else 1
        return LOSSES[name][rung] * worse / helps


def search_for(
    budgets: Budgets, landscape: Landscape | None = None, *, static: bool = False
) -> tuple[Searcher, Any]:
    goal = Goal(budgets, PYTORCH, gated_speed=True)
    search = Searcher(landscape or Landscape(), goal, lambda found: None)
    ladders = [DynamicLadder(), *([StaticLadder()] if static else [])]
    return search, search.run(ladders)


def test_an_easy_goal_is_held_by_the_fastest_rung_everywhere() -> None:
    _, best = search_for(Budgets.of({"cosine_p1": 0.98}))
    assert best.standing.holds
    assert best.time == pytest.approx(TIMES[0])


def test_the_worst_layer_is_promoted_and_the_others_are_left_fast() -> None:
    # With both helps b alone takes per-token scales, and d, whose loss they do not lower, a block.
    _, best = search_for(Budgets.of({"cosine_p1": 0.9998}))
    assert best.standing.holds
    assert best.method.smooth
    assert best.method.rounding == "gptq"
    assert best.method.per_token == ("b/MatMul",)
    assert [item.nodes for item in best.method.overrides] == [("d/MatMul",)]


def test_a_stricter_goal_is_slower_and_never_less_exact() -> None:
    times, losses = [], []
    for floor in (0.98, 0.999, 0.9999, 0.99999, 0.9999999):
        _, best = search_for(Budgets.of({"cosine_p1": floor}))
        assert best.standing.holds, floor
        times.append(best.time)
        losses.append(1 - best.figures["cosine_p1"])
    assert times == sorted(times)
    assert losses == sorted(losses, reverse=True)


def test_speed_above_its_floor_is_spent_on_room_in_quality() -> None:
    _, fastest = search_for(Budgets.of({"cosine_p1": 0.9982}))
    _, roomy = search_for(Budgets.of({"cosine_p1": 0.9982}, speedup=(SizedFloor(None, 4.0),)))
    assert fastest.standing.loss == pytest.approx(0.985, abs=1e-3)
    assert roomy.standing.holds
    assert roomy.standing.loss < 0.5
    assert roomy.time > fastest.time


def test_a_floor_of_speed_that_leaves_no_choice_is_kept_with_less_room() -> None:
    _, best = search_for(Budgets.of({"cosine_p1": 0.998}, speedup=(SizedFloor(None, 6.6),)))
    assert best.standing.holds
    assert best.time == pytest.approx(TIMES[0])


def test_what_holds_no_budget_says_how_near_it_came_and_what_limits_it() -> None:
    search, best = search_for(Budgets.of({"cosine_p1": 0.98, "size_ratio": 0.2}))
    assert not best.standing.holds
    assert best.standing.limit == "size_ratio"
    assert best.standing.worst == pytest.approx(0.25 / 0.2, rel=0.05)
    assert len(search.candidates) >= 2


def test_a_speed_that_nothing_reaches_is_the_limit() -> None:
    _, best = search_for(Budgets.of({"cosine_p1": 0.9}, speedup=(SizedFloor(16, 10.0),)))
    assert not best.standing.holds
    assert best.standing.limit == "speedup"


def test_the_size_keeps_layers_from_climbing_to_fp32() -> None:
    _, best = search_for(Budgets.of({"cosine_p1": 0.99999, "size_ratio": 0.30}))
    assert best.standing.holds
    assert best.size_ratio <= 0.30


def test_a_ladder_that_cannot_be_built_is_recorded_and_left() -> None:
    search, best = search_for(Budgets.of({"cosine_p1": 0.98}), static=True)
    assert best.standing.holds
    assert search.failures == {"static-int8, int8": "a range is not finite: value 'mask'"}


def test_a_ladder_that_is_slower_at_its_foot_is_not_climbed() -> None:
    search, _ = search_for(
        Budgets.of({"cosine_p1": 0.98}), Landscape(static_works=True), static=True
    )
    static = [c for c in search.candidates if c.name.startswith("static")]
    assert [c.name for c in static] == ["static-int8, int8"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_when_the_time_is_over_the_best_so_far_is_kept(share: float) -> None:
    whole = Landscape()
    search_for(Budgets.of({"cosine_p1": 0.9998}), whole)
    calls = int(len(whole.asked) * share)
    search, best = search_for(Budgets.of({"cosine_p1": 0.9998}), Landscape(calls_left=calls))
    assert search.out_of_time
    assert best in (search.candidates or [None])


def test_the_same_search_asks_for_the_same_candidates_again() -> None:
    asked = []
    for _ in range(2):
        landscape = Landscape()
        search_for(Budgets.of({"cosine_p1": 0.9998}), landscape)
        asked.append(landscape.asked)
    assert asked[0] == asked[1]


def test_a_margin_is_kept_since_the_proof_has_other_data() -> None:
    goal = Goal(Budgets.of({"cosine_p1": 0.99}), PYTORCH, gated_speed=True)
    assert not goal.standing({"cosine_p1": 0.9903}, 0.25, 20, None).holds
    assert goal.standing({"cosine_p1": 0.9911}, 0.25, 20, None).holds


def test_a_figure_below_its_ceiling_counts_as_no_loss() -> None:
    goal = Goal(Budgets.of({"accuracy_loss": 0.5}), PYTORCH, gated_speed=True)
    assert goal.loss({"accuracy_loss": -0.2})[0] <= 0
    assert goal.loss({"accuracy_loss": 0.95})[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("figure", "limit", "good", "bad"),
    [
        ("token_agreement", 0.9, 0.91, 0.89),
        ("generate_agreement", 0.9, 0.91, 0.89),
        ("picture_agreement", 1.0, 1.0, 0.99),
        ("wer", 0.05, 0.04, 0.051),
        ("wer_loss", 0.5, -0.1, 0.6),
        ("wer_to_reference", 0.02, 0.01, 0.021),
        ("perplexity_ratio", 1.05, 1.04, 1.051),
        ("perplexity_ratio", 0.9, 0.9, 0.95),  # better than PyTorch is more than can be lost
        ("perplexity", 25.0, 20.0, 25.1),
        ("embedding_difference", 0.3, 0.2, 0.31),
    ],
)
def test_every_figure_of_quality_that_has_a_budget_counts(
    figure: str, limit: float, good: float, bad: float
) -> None:
    goal = Goal(Budgets.of({figure: limit, "cosine_p1": 0.9}), PYTORCH, gated_speed=True)
    assert goal.standing({figure: good, "cosine_p1": 0.99}, 0.25, 20, None).holds
    lost = goal.standing({figure: bad, "cosine_p1": 0.99}, 0.25, 20, None)
    assert (lost.holds, lost.limit) == (False, figure)


def test_what_no_quantization_moves_is_not_searched_for() -> None:
    goal = Goal(Budgets.of({"pixels_difference": 1.0}), PYTORCH, gated_speed=True)
    assert goal.standing({"pixels_difference": 1.0}, 0.25, 20, None).holds


def test_names_that_look_like_patterns_match_themselves_alone() -> None:
    from fnmatch import fnmatchcase

    (pattern,) = escaped(["layers[0]/Mat*Mul?"])
    assert fnmatchcase("layers[0]/Mat*Mul?", pattern)
    assert not fnmatchcase("layers0/MatXMulY", pattern)


@dataclass
class Scattered(Searcher):
    """After 20 steps quality has room and speed has none; before, 18 steps alone hold."""

    counts: list[int] = field(default_factory=list)

    def _at(self, *arguments: Any) -> Attempt | None:
        count = arguments[-1]
        if count in self.counts:
            return next(item for item in self.candidates if item.name == str(count))
        loss, speed = (0.8, 1.05) if count >= 20 else (1.4 - 0.018 * count, 0.97)
        loss = 0.99 if count == 18 else loss
        standing = Standing(loss, 0.9, speed, "cosine_p1", loss)
        method = DynamicLadder().assigned({})
        found = Attempt(str(count), method, {}, 0.25, {16: 0.3}, standing)
        self.counts.append(count)
        self.candidates.append(found)
        return found


def test_where_nothing_holds_the_counts_beside_are_tried() -> None:
    goal = Goal(Budgets.of({"cosine_p1": 0.998}, speedup=(SizedFloor(None, 6.5),)), PYTORCH, True)
    search = Scattered(Landscape(), goal, lambda found: None)
    layers = {"a": [LayerOption(0, 0.3, 1.0, 0.25), LayerOption(1, 0.4, 0.0, 0.25)]}
    steps = [Promotion("a", 1, 0.02, 0.01, 0.0) for _ in range(40)]
    foot = search._at(0)
    assert foot is not None
    search._approach(DynamicLadder(), layers, steps, foot)
    assert {19, 20} <= set(search.counts)
    assert search.best is not None and search.best.name == "18"


def test_a_ladder_that_no_help_can_bring_near_is_left_alone() -> None:
    search, _ = search_for(
        Budgets.of({"cosine_p1": 0.99999999}), Landscape(static_works=True), static=True
    )
    static = [item for item in search.candidates if isinstance(item.method, StaticInt8)]
    assert [item.name for item in static] == ["static-int8, int8"]
