"""The metric is right, and it is sensitive to what it must see."""

from __future__ import annotations

import numpy as np
import pytest

from olive_build.proof.embedding import agreement, pool

RANDOM = np.random.default_rng(0)
REFERENCE = RANDOM.normal(size=(40, 16)).astype(np.float32)


def test_the_same_embeddings_agree_fully() -> None:
    result = agreement(REFERENCE, REFERENCE)
    assert result == {
        "cosine_lowest": 1.0,
        "cosine_p1": 1.0,
        "cosine_mean": 1.0,
        "spearman": 1.0,
        "embedding_difference": 0.0,
    }


def test_vectors_of_another_length_differ_though_their_cosines_do_not() -> None:
    result = agreement(3 * REFERENCE, REFERENCE)
    assert result["cosine_lowest"] == result["spearman"] == 1.0
    assert result["embedding_difference"] == pytest.approx(2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_differs_by_the_most_that_can_be_written(value: float) -> None:
    broken = REFERENCE.copy()
    broken[0, 0] = value
    assert agreement(broken, REFERENCE)["embedding_difference"] > 1e38


def test_figures_are_those_of_a_plain_computation() -> None:
    noisy = REFERENCE + 0.3 * RANDOM.normal(size=REFERENCE.shape).astype(np.float32)
    cosines = [
        float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        for a, b in zip(noisy.astype(float), REFERENCE.astype(float), strict=True)
    ]
    result = agreement(noisy, REFERENCE)
    assert result["cosine_lowest"] == pytest.approx(min(cosines), abs=1e-6)
    assert result["cosine_mean"] == pytest.approx(np.mean(cosines), abs=1e-6)
    assert result["cosine_p1"] == pytest.approx(np.percentile(cosines, 1), abs=1e-6)
    assert result["spearman"] < 0.99


def test_one_wrong_text_shows_in_the_lowest_not_in_the_mean() -> None:
    changed = REFERENCE.copy()
    changed[7] = -changed[7]
    result = agreement(changed, REFERENCE)
    assert result["cosine_lowest"] == -1.0
    assert result["cosine_mean"] == pytest.approx(1 - 2 / 40, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_never_passes(bad: float) -> None:
    changed = REFERENCE.copy()
    changed[3, 5] = bad
    result = agreement(changed, REFERENCE)
    assert result["cosine_lowest"] == -1.0
    assert np.isfinite(list(result.values())).all()


def test_a_zero_vector_is_not_near_anything() -> None:
    changed = REFERENCE.copy()
    changed[0] = 0
    assert agreement(changed, REFERENCE)["cosine_lowest"] == 0.0


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_padding_has_no_say_in_pooling(pooling: str) -> None:
    hidden = RANDOM.normal(size=(2, 6, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    disturbed = hidden.copy()
    disturbed[1, 3:] = 1e6
    one, other = (pool(h, mask, pooling, normalize=True) for h in (hidden, disturbed))
    np.testing.assert_array_equal(one, other)
    expected = {"mean": hidden[1, :3].mean(0), "max": hidden[1, :3].max(0), "cls": hidden[1, 0]}
    raw = pool(hidden, mask, pooling, normalize=False)
    np.testing.assert_allclose(raw[1], expected[pooling], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, rtol=1e-5)
