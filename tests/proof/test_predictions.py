"""How near two sides' predictions are, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from olive_build.proof.predictions import (
    Confidence,
    Predictions,
    generation_agreement,
    is_same,
    perplexity,
)

EXPECTED = Predictions(
    nll=np.array([1, 2, 3, 2], np.float32),
    best=np.array([5, 6, 7, 8], np.int32),
    written=((1, 2, 3), (4, 5)),
    texts=2,
)
# The first prompt's last step is nearly tied; at 16 to 32 neighbours in float16 are 1/64 apart.
CHOICES = (
    Confidence(np.array([20, 20, 20], np.float32), np.array([3, 3, 4 / 64], np.float32)),
    Confidence(np.array([20, -20], np.float32), np.array([3, 4.1 / 64], np.float32)),
)


def test_the_same_predictions_agree_in_everything() -> None:
    assert generation_agreement(EXPECTED, EXPECTED, CHOICES) == {
        "perplexity": round(math.exp(2), 7),
        "perplexity_ratio": 1.0,
        "token_agreement": 1.0,
        "generate_agreement": 1.0,
    }


def test_each_figure_tells_its_own_difference() -> None:
    other = Predictions(
        nll=EXPECTED.nll + np.float32(0.5) if EXPECTED.nll is not None else None,
        best=np.array([5, 6, 0, 8], np.int32),
        written=((1, 2, 3), (4, 6)),
        texts=2,
    )
    found = generation_agreement(other, EXPECTED, CHOICES)
    assert found["perplexity"] == pytest.approx(math.exp(2.5))
    assert found["perplexity_ratio"] == pytest.approx(math.exp(0.5))
    assert found["token_agreement"] == 0.75
    assert found["generate_agreement"] == 0.5


def test_a_tie_excuses_float16_and_nothing_else() -> None:
    other = replace(EXPECTED, written=((1, 2, 9), (4, 9)))
    assert generation_agreement(other, EXPECTED, CHOICES)["generate_agreement"] == 0
    half = replace(other, is_half=True)
    assert generation_agreement(half, EXPECTED, CHOICES)["generate_agreement"] == 0.5


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ((1, 2, 3), True),
        ((1, 2, 9), True),
        ((1, 2), True),
        ((1, 2, 9, 9), True),
        ((1, 9, 3), False),
        ((1, 2, 3, 4), False),
        ((), False),
    ],
)
def test_what_follows_a_tie_is_not_compared(written: tuple[int, ...], same: bool) -> None:
    assert is_same(written, (1, 2, 3), CHOICES[0]) is same


def test_without_a_tie_every_token_counts() -> None:
    assert not is_same((1, 2), (1, 2, 3), None)
    assert not is_same((1, 2, 3), (1, 2), None)
    assert is_same((), (), None)


def test_logits_beyond_float16_are_as_its_largest() -> None:
    choice = Confidence(np.array([1e6], np.float32), np.array([100], np.float32))
    assert choice.tied(0)


def test_what_one_side_does_not_tell_is_no_figure() -> None:
    silent = Predictions(None, None, ((1, 2, 3), None), texts=2)
    assert generation_agreement(silent, EXPECTED, CHOICES) == {"generate_agreement": 1}
    assert generation_agreement(silent, silent, CHOICES) == {"generate_agreement": 1}
    other = generation_agreement(EXPECTED, silent, CHOICES)
    assert set(other) == {"perplexity", "generate_agreement"}
    none = replace(silent, written=(None, None))
    assert generation_agreement(none, EXPECTED, CHOICES) == {}


def test_other_texts_are_not_compared() -> None:
    assert EXPECTED.nll is not None
    with pytest.raises(ValueError, match="3 tokens and 4"):
        generation_agreement(replace(EXPECTED, nll=EXPECTED.nll[1:]), EXPECTED, CHOICES)
    with pytest.raises(ValueError, match="zip"):
        generation_agreement(replace(EXPECTED, written=((1,),)), EXPECTED, CHOICES)


def test_a_hopeless_perplexity_is_a_number_still() -> None:
    assert math.isfinite(perplexity(1e9))
    assert perplexity(0) == 1
