"""The order of promotions: the most fidelity for its time first, whatever the layers are like."""

from __future__ import annotations

from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from olive_build.search.promotion import LayerOption, assignment, promotions

numbers = st.floats(0.001, 10, allow_nan=False)
ladders = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=4)
many = st.dictionaries(st.text("abc", min_size=1, max_size=3), ladders, min_size=1, max_size=4)


def choices(rungs: list[tuple[float, float, float]]) -> list[LayerOption]:
    return [LayerOption(rung, *values) for rung, values in enumerate(rungs)]


def test_a_cheap_gain_comes_before_a_dear_one() -> None:
    layers = {
        "cheap": [LayerOption(0, 1.0, 5.0, 1), LayerOption(1, 1.1, 1.0, 1)],
        "dear": [LayerOption(0, 1.0, 5.0, 1), LayerOption(1, 3.0, 1.0, 1)],
    }
    assert [step.layer for step in promotions(layers)] == ["cheap", "dear"]


def test_a_rung_that_is_dearer_and_no_better_is_skipped() -> None:
    layer = [LayerOption(0, 1.0, 5.0, 1), LayerOption(1, 2.0, 5.0, 1), LayerOption(2, 2.1, 1.0, 1)]
    assert [step.rung for step in promotions({"a": layer})] == [2]


def test_a_rung_that_is_cheaper_and_better_is_where_a_layer_starts() -> None:
    layer = [LayerOption(0, 2.0, 5.0, 1), LayerOption(1, 1.0, 1.0, 1)]
    assert assignment({"a": layer}, promotions({"a": layer}), 0.0) == {"a": 1}


@given(many)
def test_a_layer_climbs_in_order_and_each_step_is_worth_less(
    given_layers: dict[str, list[tuple[float, float, float]]],
) -> None:
    layers = {name: choices(rungs) for name, rungs in given_layers.items()}
    steps = promotions(layers)
    assert all(a.worth >= b.worth for a, b in pairwise(steps))
    for name in layers:
        own = [step for step in steps if step.layer == name]
        assert all(step.gain > 0 for step in own)
        damages = [layers[name][step.rung].damage for step in own]
        assert damages == sorted(damages, reverse=True)


@given(many)
def test_no_other_assignment_is_both_cheaper_and_better(
    given_layers: dict[str, list[tuple[float, float, float]]],
) -> None:
    layers = {name: choices(rungs) for name, rungs in given_layers.items()}
    steps = promotions(layers)
    every = [
        (sum(c.cost for c in chosen), sum(c.damage for c in chosen))
        for chosen in product(*layers.values())
    ]
    for count in range(len(steps) + 1):
        rungs = assignment(layers, steps[:count], room=1e9)
        chosen = [next(c for c in layers[name] if c.rung == rung) for name, rung in rungs.items()]
        cost, damage = sum(c.cost for c in chosen), sum(c.damage for c in chosen)
        assert not any(c < cost - 1e-6 and d < damage - 1e-6 for c, d in every)


def test_a_step_that_needs_more_room_than_there_is_waits_with_all_above_it() -> None:
    layers = {
        "big": [LayerOption(0, 1, 9, 1.0), LayerOption(1, 1.1, 2, 5.0), LayerOption(2, 9, 1, 1.0)],
        "small": [LayerOption(0, 1, 5, 1.0), LayerOption(1, 2, 1, 1.5)],
    }
    assert assignment(layers, promotions(layers), room=1.0) == {"big": 0, "small": 1}


@given(st.integers(0, 5))
def test_a_seed_gives_the_same_order_every_time(seed: int) -> None:
    layers = {name: [LayerOption(0, 1, 2, 1), LayerOption(1, 2, 1, 1)] for name in "abcdefgh"}
    orders = [[step.layer for step in promotions(layers, seed)] for _ in range(2)]
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == list("abcdefgh")
