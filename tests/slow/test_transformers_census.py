"""Miniatures of all classes of transformers; about ten minutes of one core."""

from __future__ import annotations

import pytest

from tests.families.transformers.census import Pair, check, pairs

PAIRS = pairs()


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_class_has_a_miniature_that_runs_at_three_settings(pair: Pair) -> None:
    check(pair)
