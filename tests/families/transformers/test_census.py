"""Miniatures of a tenth of all classes, drawn by the commit; tests/slow has all of them."""

from __future__ import annotations

import pytest

from tests.cli.test_smoke import commit
from tests.families.transformers.census import Pair, check, drawn, pairs, table

PAIRS = [pair for pair in pairs() if drawn(pair, commit())]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_class_has_a_miniature_that_runs_at_three_settings(pair: Pair) -> None:
    check(pair)


def test_there_are_enough_pairs_and_no_refusal_of_a_class_that_is_gone() -> None:
    found = pairs()
    made = [pair for pair in found if pair.name not in table()["refused"]]
    assert len(made) >= 500
    assert len({pair.model_type for pair in made}) >= 250
    assert set(table()["refused"]) <= {pair.name for pair in found}
