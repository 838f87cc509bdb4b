"""Texts as a line of code points in which each added token is one number.

The beginning of the graphs that look at characters and their neighbours: byte-level BPE, Unigram.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, numpy_helper

from olive_build.families.graph_writer import GraphWriter
from olive_build.tokenizers.code_points import (
    HIGH_SURROGATES,
    RAW_SHIFT,
    ROW_END_POINT,
    SPECIAL_CLOSE_POINT,
    SPECIAL_OPEN_POINT,
    SURROGATES,
    TABLE_SIZE,
    UNICODE_SIZE,
)
from olive_build.tokenizers.line import NONE, LineWriter
from olive_build.tokenizers.sections import LONGEST_ADDED, AddedToken, refuse
from olive_build.tokenizers.texts import ML, NUL_OF_JAVA, points_of_texts

FIRST_ADDED = TABLE_SIZE
"""The number of the first added token; the others follow in their order."""

WHITESPACE = (
    *(*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)),
    *(0x2028, 0x2029, 0x202F, 0x205F, 0x3000),
)
"""Unicode's White_Space, which added tokens take from beside them."""

_OTHER = 0xFFFD


def characters_of_texts(
    g: GraphWriter, added: Sequence[AddedToken], opset: int, prompt: str = ""
) -> str:
    """Write the stages from the input `text` to a line of code points; int64 [character].

    `prompt` is before each text. After each text stands ROW_END_POINT; an added token is
    FIRST_ADDED and its place in `added`. All numbers from UNICODE_SIZE on are one of these.
    """
    line = LineWriter(g)
    contents = [token.content for token in added]
    points = line.flat(points_of_texts(g, contents, opset, prompt, NUL_OF_JAVA))
    points = _with_surrogates_joined(line, points)
    if added:
        points = _with_added_tokens(line, points, added)
        points = _without_taken_spaces(line, points, added)
    return points


def _with_surrogates_joined(line: LineWriter, points: str) -> str:
    """Make each pair of surrogates, the modified UTF-8 of Java's JNI, the character it stands for.

    One without the other is U+FFFD.
    """
    high, low = HIGH_SURROGATES.start, HIGH_SURROGATES.stop
    after = line.later(points, 1, line.whole([0]))
    opens = _between(line, points, high, low)
    closes = _between(line, points, low, SURROGATES.stop)
    pair = line.all(opens, _between(line, after, low, SURROGATES.stop))
    joined = line.add("Add", line.add("Mul", points, line.whole(0x400)), after)
    joined = line.add("Sub", joined, line.whole(high * 0x400 + low - 0x10000))
    second = line.earlier(pair, 1, line.truth([False]))
    found = line.add("Where", line.any(opens, closes), line.whole(_OTHER), points)
    found = line.add("Where", pair, joined, found)
    return line.kept(found, line.add("Not", second))


def _between(line: LineWriter, points: str, first: int, end: int) -> str:
    least = line.add("GreaterOrEqual", points, line.whole(first))
    return line.all(least, line.add("Less", points, line.whole(end)))


def _with_added_tokens(line: LineWriter, points: str, added: Sequence[AddedToken]) -> str:
    """Put one number in the place of each added token: a sum of its weighted characters tells it.

    Marks that stand alone, which only text that is not UTF-8 has, end nothing and are left out.
    """
    weights = _weights()
    opens = line.equals(points, SPECIAL_OPEN_POINT)
    closes = line.equals(points, RAW_SHIFT + SPECIAL_CLOSE_POINT)
    ends = line.equals(points, ROW_END_POINT)
    marked = line.add("GreaterOrEqual", points, line.whole(UNICODE_SIZE))
    inside = line.all(marked, line.add("Not", ends))
    # The place of the mark before each place; 0 before the first.
    begins = line.add("Concat", line.whole([0]), line.places(opens), axis=0)
    begin = line.add("Gather", begins, line.sums(line.numbers(opens)))
    place = line.add("Sub", line.order(points), begin)
    place = line.add("Min", place, line.whole(len(weights) - 1))
    weight = line.add("Gather", line.whole(weights), place)
    value = line.add("Where", inside, line.add("Mul", points, weight), line.whole(0))
    before = line.sums(value, exclusive=1)
    total = line.add("Sub", before, line.add("Gather", before, begin))
    keys = [_sum_of(token.content, weights) for token in added]
    if len(set(keys)) < len(keys):
        raise refuse("its added tokens", "two of them have one sum in the graph")
    found = line.graph.add(
        "LabelEncoder",
        [total],
        domain=ML,
        keys_tensor=numpy_helper.from_array(np.array(keys, np.int64), "keys"),
        values_tensor=numpy_helper.from_array(
            np.arange(len(keys), dtype=np.int64) + FIRST_ADDED, "values"
        ),
        default_tensor=numpy_helper.from_array(np.array([_OTHER], np.int64), "default"),
    )
    points = line.add("Where", closes, found, points)
    return line.kept(points, line.any(line.add("Not", inside), closes))


def _weights() -> list[int]:
    """Return odd numbers for the places in an added token; sums of products tell tokens apart."""
    drawn = np.random.default_rng(0).integers(1, 2**34, LONGEST_ADDED + 2)
    return [0, *(int(number) * 2 + 1 for number in drawn[1:])]


def _sum_of(content: str, weights: Sequence[int]) -> int:
    return sum(
        (ord(c) + RAW_SHIFT) * weight for c, weight in zip(content, weights[1:], strict=False)
    )


def _without_taken_spaces(line: LineWriter, points: str, added: Sequence[AddedToken]) -> str:
    """Leave out the spaces beside added tokens that take them."""
    before = [FIRST_ADDED + place for place, token in enumerate(added) if token.takes_left]
    after = [FIRST_ADDED + place for place, token in enumerate(added) if token.takes_right]
    if not before and not after:
        return points
    space = is_space(line, points)
    solid = line.add("Not", space)
    # What is no space, with something at either end: the numbers of spaces' neighbours.
    end = line.whole([ROW_END_POINT])
    solids = line.add("Concat", end, line.kept(points, solid), end, axis=0)
    count = line.sums(line.numbers(solid))
    taken: list[str] = []
    if before:
        following = line.add("Gather", solids, line.add("Add", count, line.whole(1)))
        taken.append(line.is_one_of(following, before))
    if after:
        taken.append(line.is_one_of(line.add("Gather", solids, count), after))
    return line.kept(points, line.any(solid, line.add("Not", line.any(*taken))))


def is_space(line: LineWriter, points: str) -> str:
    """Append where code points are Unicode's White_Space."""
    table = np.zeros(TABLE_SIZE, np.uint8)
    table[list(WHITESPACE)] = 1
    known = line.add("Min", points, line.whole(ROW_END_POINT))
    return line.add("Cast", line.looked_up(known, table), to=TensorProto.BOOL)


def with_prefix(line: LineWriter, points: str, space: int) -> str:
    """Put `space` before each text that does not begin with it, and after each added token."""
    is_end = line.add("GreaterOrEqual", points, line.whole(UNICODE_SIZE))
    first = line.all(line.earlier(is_end, 1, line.truth([True])), line.add("Not", is_end))
    wanted = line.all(first, line.add("Not", line.equals(points, space)))
    prefix = line.add("Where", wanted, line.whole(space), line.whole(NONE))
    return line.spread(prefix, points)
