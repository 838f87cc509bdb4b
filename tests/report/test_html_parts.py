"""Scales, charts and markup of the report."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from olive_build.report.charts import (
    LETTER,
    LINE,
    Axis,
    Bar,
    Bars,
    Guide,
    Point,
    Scatter,
    draw,
    for_quality,
    from_zero,
    steps,
    told_apart,
)
from olive_build.report.comparison import judged, percent
from olive_build.report.numbers import limit_text, text_of
from olive_build.report.render.markup import Markup, escaped, tag
from olive_build.report.sections.search import front


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 97.3, [0, 20, 40, 60, 80]),
        (0.3, 0.62, [0.3, 0.4, 0.5, 0.6]),
        (-3, 12, [0, 5, 10]),
        (0, 3e-5, [0, 1e-5, 2e-5, 3e-5]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert steps(low, high) == pytest.approx(expected)


def test_a_scale_of_nines_gives_each_nine_the_same_room() -> None:
    axis = Axis("", 0.9, 0.9999, "nines")
    assert [axis.place(value) for value in (0.9, 0.99, 0.999, 0.9999)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
    assert axis.place(1.0) == 1
    assert axis.place(0.2) == 0


@pytest.mark.parametrize(
    "values", [[1.0], [0.5, 1.0], [0.9999999, 1.0], [0.98, 0.985], [0.2, 0.9], [0.0, 0.0], []]
)
def test_every_quality_lies_on_its_axis(values: list[float]) -> None:
    axis = for_quality("", values)
    assert axis.low < axis.high
    ticks = [axis.place(value) for value, _ in axis.ticks()]
    assert len(ticks) >= 2
    assert all(one < other for one, other in pairwise(ticks))
    for one in values:
        for other in values:
            if one < other - 1e-4:
                assert axis.place(one) < axis.place(other)


def test_an_axis_from_zero_has_room_for_the_largest() -> None:
    assert from_zero("", [3.0, 9.0]).place(9.0) < 1
    assert from_zero("", []).high > 0
    assert from_zero("", [0.0]).high > 0


def labels(svg: str) -> list[tuple[float, float, float]]:
    """Return left end, width and baseline of each label of a plot."""
    pattern = r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)" class="l\w[^"]*">([^<]*)<'
    found = []
    for x, y, anchor, text in re.findall(pattern, svg):
        width = len(text) * LETTER
        left = float(x) - (width if anchor == "end" else 0)
        found.append((left, width, float(y)))
    return found


def test_labels_of_a_crowd_do_not_overlap() -> None:
    x, y = from_zero("", [10.0]), for_quality("", [0.98, 0.99])
    points = [Point(5 + i / 50, 0.985 + i / 1e5, f"variant {i}", i) for i in range(8)]
    guides = [Guide("x", 5.0, "at most 5"), Guide("x", 5.1, "at most 5.1", 1)]
    guides += [Guide("y", 0.985, "at least", 2), Guide("y", 0.9851, "at least too", 3)]
    placed = labels(draw(Scatter(x, y, tuple(points), tuple(guides)), "a", ""))
    assert len(placed) == 12
    for number, (left, width, base) in enumerate(placed):
        for other_left, other_width, other_base in placed[number + 1 :]:
            apart = left >= other_left + other_width - 1 or other_left >= left + width - 1
            assert apart or abs(base - other_base) >= LINE - 1e-3


def test_labels_stay_inside_the_drawing() -> None:
    x, y = from_zero("", [10.0]), for_quality("", [0.98, 0.99])
    points = (Point(10, 0.99, "far to the right"), Point(0, 0.98, "far to the left", 1))
    for left, width, base in labels(draw(Scatter(x, y, points), "a", "")):
        assert left >= 0
        assert left + width <= 440
        assert 0 < base < 340


def test_a_bar_is_as_long_as_its_value() -> None:
    rows = (Bar("one", 1.0, "1"), Bar("two", 2.0, "2"), Bar("none", 0.0, "0"))
    svg = draw(Bars(Axis("", 0, 4), rows), "a", "")
    widths = [float(text) for text in re.findall(r'class="bar s0" width="([\d.]+)"', svg)]
    assert widths[1] == pytest.approx(2 * widths[0], rel=1e-4)
    assert widths[2] == 1  # still to be seen


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["/e/0/out/MatMul", "/e/1/out/MatMul"], ["0", "1"]),
        (["a/MatMul", "b/Gemm"], ["a/MatMul", "b/Gemm"]),
        (["same", "same"], ["same", "same"]),
        (["only/one"], ["only/one"]),
        (["a", "a/b"], ["a", "a/b"]),
    ],
)
def test_names_lose_what_they_have_in_common(names: list[str], expected: list[str]) -> None:
    assert told_apart(names) == expected


def test_the_front_is_what_nothing_beats() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.9), (3.0, 0.9), (4.0, 0.95), (1.0, 0.3)]
    assert front(points) == [(1.0, 0.5), (2.0, 0.9), (4.0, 0.95)]
    assert front([]) == []


@pytest.mark.parametrize(
    ("old", "new", "less", "word"),
    [
        (1.0, 2.0, True, "worse"),
        (1.0, 2.0, False, "better"),
        (0.99, 0.99 + 1e-8, False, "same"),
        (None, 1.0, True, "changed"),
        (None, None, True, "same"),
    ],
)
def test_a_change_has_a_word(old: float | None, new: float | None, less: bool, word: str) -> None:
    assert judged(old, new, less_is_better=less) == word


def test_a_change_in_percent_has_its_sign() -> None:
    assert percent(100, 110) == "+10.0%"
    assert percent(100, 90) == "\u221210.0%"


def test_markup_is_escaped_once() -> None:
    assert tag("p", "a < b & c", title='"') == '<p title="&quot;">a &lt; b &amp; c</p>\n'
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>\n"
    assert escaped(Markup("<br>")) == "<br>"
    assert escaped("a\x00b\x1b") == "a\ufffdb\ufffd"
    assert tag("td", class_=None, hidden=True) == "<td hidden></td>"


def test_figures_carry_their_units() -> None:
    assert text_of("size_ratio", 0.25661) == "25.7 %"
    assert limit_text("size_ratio", 0.26) == "26 %"
    assert text_of("speedup", 6.512) == "6.51 \u00d7"
    assert text_of("cosine_p1", 0.987654) == "0.98765"
    assert text_of("memory_mb", 1234.5) == "1,234 MB"
