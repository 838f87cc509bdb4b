"""Figures against limits: what passes, what fails, and what noise leaves open."""

from __future__ import annotations

import pytest

from olive_build.proof.verdict import (
    failures,
    gate,
    quality_gates,
    size_gates,
    speed_gate,
)


def rows(*spreads: tuple[float, float, float]) -> list[dict[str, object]]:
    return [
        {"ratio_to": {"fp32 graph": {"low": low, "median": median, "high": high}}}
        for low, median, high in spreads
    ]


@pytest.mark.parametrize(
    ("figure", "value", "limit", "status"),
    [
        ("cosine_p1", 0.98, 0.98, "passed"),
        ("cosine_p1", 0.97999, 0.98, "failed"),
        ("spearman", 0.5, 0.99, "failed"),
        ("size_mb", 23.5, 23.5, "passed"),
        ("size_mb", 23.6, 23.5, "failed"),
    ],
)
def test_a_floor_binds_from_below_and_a_ceiling_from_above(
    figure: str, value: float, limit: float, status: str
) -> None:
    assert gate(figure, value, limit).status == status


def test_only_the_limits_that_are_given_are_judged() -> None:
    figures = {"cosine_lowest": 0.9, "cosine_p1": 0.99, "cosine_mean": 0.999, "spearman": 0.9}
    gates = quality_gates(figures, {"cosine_p1": 0.98, "size_mb": 1.0})
    assert [item.figure for item in gates] == ["cosine_p1"]


def test_size_is_judged_in_megabytes_of_a_million_bytes_and_against_fp32() -> None:
    gates = size_gates(26_000_000, 100_000_000, {"size_mb": 25.9, "size_ratio": 0.26})
    assert [(g.figure, g.value, g.status) for g in gates] == [
        ("size_mb", 26.0, "failed"),
        ("size_ratio", 0.26, "passed"),
    ]


def test_the_worst_length_and_thread_count_decides_about_speed() -> None:
    result = speed_gate(rows((0.5, 0.6, 0.7), (1.1, 1.2, 1.3)), 1.0, waived=None, absent="")
    assert (result.status, result.value) == ("failed", 1.2)


def test_quartiles_across_the_limit_leave_the_verdict_open() -> None:
    result = speed_gate(rows((0.95, 1.05, 1.2)), 1.0, waived=None, absent="")
    assert result.status == "undecided"
    assert "0.95 to 1.2" in result.note
    assert failures([result]) == []


def test_what_is_slower_beyond_doubt_is_not_hidden_by_a_noisier_row() -> None:
    result = speed_gate(rows((0.9, 1.3, 1.7), (1.05, 1.1, 1.15)), 1.0, waived=None, absent="")
    assert (result.status, result.value) == ("failed", 1.1)


def test_a_variant_that_may_be_slower_says_so_with_its_reason() -> None:
    result = speed_gate(rows((2, 2, 2)), 1.0, waived="for its size", absent="")
    assert (result.status, result.note, result.value) == ("waived", "for its size", 2)


def test_what_was_not_timed_is_never_a_guess() -> None:
    result = speed_gate(None, 1.0, waived=None, absent="DirectML is not on this machine")
    assert result.value is None
    assert result.text() == (
        "slowdown not measured, at most 1: not measured (DirectML is not on this machine)"
    )
