"""Figures against limits: what passes, what fails, and what noise leaves open."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olive_build.proof.figures import Median, find
from olive_build.proof.verdict import (
    cost_gate,
    gate,
    measured_gate,
    quality_gates,
    speed_gate,
    speedup_gates,
    verdict_of,
)
from olive_build.record.proof import (
    Gate,
    Latency,
    Limits,
    LoadTime,
    Memory,
    SpeedLimit,
    Spread,
    VariantProof,
)

Triple = tuple[float, float, float]


def costs(limits: dict[str, float], absent: str = "", **measured: Any) -> list[Gate]:
    """Return the gates on what a variant costs."""
    given = {"size_bytes": 26_000_000, "fp32_bytes": 100_000_000, **measured}
    proof = VariantProof("passed", Limits(limits), {}, (), **given)
    found = (cost_gate(find(name), proof, limits[name], absent) for name in limits)
    return [gate for gate in found if gate]


def spread(interval: Triple) -> Spread:
    low, median, high = interval
    return Spread(median, low, high, low, high)


def row(
    interval: Triple,
    *,
    to: str = "fp32 graph",
    tokens: int = 16,
    threads: int = 1,
    noisy: bool = False,
) -> Latency:
    found = spread(interval)
    return Latency(tokens, threads, {"this file": found}, {to: found}, noisy=noisy)


def rows(*intervals: Triple) -> list[Latency]:
    return [row(interval) for interval in intervals]


@pytest.mark.parametrize(
    ("figure", "value", "limit", "status"),
    [
        ("cosine_p1", 0.98, 0.98, "passed"),
        ("cosine_p1", 0.97999, 0.98, "failed"),
        ("spearman", 0.5, 0.99, "failed"),
        ("token_agreement", 0.89, 0.9, "failed"),
        ("perplexity", 21.5, 21.0, "failed"),
        ("perplexity_ratio", 1.01, 1.02, "passed"),
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


def test_what_a_file_does_not_tell_is_not_measured_and_keeps_nothing_from_being_published() -> None:
    limits = {"perplexity_ratio": 1.05, "generate_agreement": 1.0}
    gates = quality_gates({"generate_agreement": 1.0}, limits)
    assert [item.status for item in gates] == ["not measured", "passed"]
    assert gates[0].text().endswith("(the file does not give what it is measured on)")
    assert verdict_of(gates, ()) == "passed"


def test_size_is_judged_in_megabytes_of_a_million_bytes_and_against_fp32() -> None:
    gates = costs({"size_mb": 25.9, "size_ratio": 0.26})
    assert [(g.figure, g.value, g.status) for g in gates] == [
        ("size_mb", 26.0, "failed"),
        ("size_ratio", 0.26, "passed"),
    ]


def test_the_worst_length_and_thread_count_decides_about_speed() -> None:
    result = speed_gate(rows((0.5, 0.6, 0.7), (1.1, 1.2, 1.3)), 1.0, waived=None, absent="")
    assert (result.status, result.value, result.interval) == ("failed", 1.2, (1.1, 1.3))


def test_an_interval_across_the_limit_leaves_the_verdict_open_on_either_side() -> None:
    for interval in ((0.95, 1.05, 1.2), (0.8, 0.9, 1.01)):
        result = speed_gate(rows(interval), 1.0, waived=None, absent="")
        assert result.status == "undecided"
        assert f"it lies between {interval[0]:g} and {interval[2]:g}" in result.note
        assert verdict_of([result], ()) == "undecided"


def test_the_note_says_that_the_machine_was_noisy() -> None:
    result = speed_gate([row((0.9, 1.0, 1.1), noisy=True)], 1.0, waived=None, absent="")
    assert result.note == "it lies between 0.9 and 1.1; the machine was noisy"


def test_what_is_slower_beyond_doubt_is_not_hidden_by_a_noisier_row() -> None:
    result = speed_gate(rows((0.9, 1.3, 1.7), (1.05, 1.1, 1.15)), 1.0, waived=None, absent="")
    assert (result.status, result.value) == ("failed", 1.1)


def test_one_open_row_keeps_the_others_from_passing() -> None:
    result = speed_gate(rows((0.2, 0.3, 0.4), (0.9, 0.99, 1.01)), 1.0, waived=None, absent="")
    assert (result.status, result.value) == ("undecided", 0.99)


def test_a_variant_that_may_be_slower_says_so_with_its_reason() -> None:
    result = speed_gate(rows((2, 2, 2)), 1.0, waived="for its size", absent="")
    assert (result.status, result.note, result.value) == ("waived", "for its size", 2)


def test_what_was_not_timed_is_never_a_guess() -> None:
    result = speed_gate(None, 1.0, waived=None, absent="DirectML is not on this machine")
    assert result.value is None
    assert result.text() == (
        "slowdown not measured, at most 1: not measured (DirectML is not on this machine)"
    )


def test_speedup_is_judged_on_one_thread_at_its_size() -> None:
    timed = [
        row((0.14, 0.15, 0.16), to="pytorch", tokens=16),
        row((0.30, 0.32, 0.34), to="pytorch", tokens=128),
        row((0.90, 0.95, 0.99), to="pytorch", tokens=16, threads=2),
    ]
    limits = [SpeedLimit(6.5, 16), SpeedLimit(2.5, 128)]
    gates = speedup_gates(timed, limits, "")
    assert [(g.size, g.status) for g in gates] == [(16, "undecided"), (128, "passed")]
    assert gates[1].text() == "speedup at 128 3.125, at least 2.5: passed"
    everywhere = speedup_gates(timed, [SpeedLimit(4.0, None)], "")
    assert [(g.size, g.status) for g in everywhere] == [(16, "passed"), (128, "failed")]


def test_load_time_is_judged_in_milliseconds_and_against_fp32() -> None:
    found = spread((40, 50, 60))
    loaded = LoadTime(1, {"this file": found}, {"fp32 graph": found})
    gates = costs({"load_ms": 45, "load_ratio": 70}, load=loaded)
    assert [(g.figure, g.status) for g in gates] == [
        ("load_ms", "undecided"),
        ("load_ratio", "passed"),
    ]
    assert [g.status for g in costs({"load_ms": 45}, "why")] == ["not measured"]


def peak(tokens: int, low: float, median: float, high: float) -> Memory:
    return Memory(tokens, median, low, high)


def test_memory_is_judged_at_its_largest_and_as_the_widest_ratio() -> None:
    memory = {
        "this file": [peak(16, 30, 31, 32), peak(128, 48, 50, 52)],
        "fp32 graph": [peak(16, 100, 101, 102), peak(128, 96, 100, 104)],
    }
    gates = costs({"memory_mb": 51, "memory_ratio": 0.5}, memory=memory)
    assert [(g.figure, g.status, g.value) for g in gates] == [
        ("memory_mb", "undecided", 50),
        ("memory_ratio", "undecided", 0.5),
    ]
    assert gates[1].interval == (48 / 104, 52 / 96)
    assert costs({"memory_ratio": 0.6}, memory=memory)[0].status == "passed"


def test_a_file_that_takes_no_memory_to_speak_of_has_no_ratio() -> None:
    memory = {"this file": [peak(16, 0, 0.1, 0.2)], "fp32 graph": [peak(16, 0, 0.1, 0.2)]}
    assert costs({"memory_ratio": 0.6}, memory=memory) == []


numbers = st.floats(0.01, 100)
intervals = st.lists(st.tuples(numbers, numbers, numbers).map(sorted).map(tuple), min_size=1)


def reach_across(found: list[Triple], limit: float) -> bool:
    return any(low < limit < high for low, _, high in found)


@given(intervals, numbers)
def test_a_ceiling_is_never_decided_by_luck(found: list[Triple], limit: float) -> None:
    check(
        measured_gate("slowdown", [Median(m, a, b) for a, m, b in found], limit),
        wrong=[low > limit for low, _, _ in found],
        right=[high <= limit for _, _, high in found],
        crosses=reach_across(found, limit),
        single=len(found) == 1,
    )


@given(intervals, numbers)
def test_a_floor_is_never_decided_by_luck(found: list[Triple], limit: float) -> None:
    check(
        measured_gate("speedup", [Median(m, a, b) for a, m, b in found], limit),
        wrong=[high < limit for _, _, high in found],
        right=[low >= limit for low, _, _ in found],
        crosses=reach_across(found, limit),
        single=len(found) == 1,
    )


def check(
    result: Gate, *, wrong: list[bool], right: list[bool], crosses: bool, single: bool
) -> None:
    expected = "failed" if any(wrong) else "passed" if all(right) else "undecided"
    assert result.status == expected
    if crosses:
        assert result.status != "passed"
        if single:
            assert result.status == "undecided"
