"""Writing arithmetic on a line of numbers: all characters, or all tokens, of all texts in a row.

A line is a tensor [place]; what these functions append is named by its place in the graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto

from olive_build.families.graph_writer import GraphWriter
from olive_build.tokenizers.code_points import BLOCK, TABLE_SIZE, shared_blocks

NONE = -1
"""The number that `spread` leaves out."""


class LineWriter:
    """Appends to a graph what makes a line of another line."""

    def __init__(self, graph: GraphWriter) -> None:
        self.graph = graph

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        """Append a node with one output."""
        return self.graph.add(operator, inputs, **attributes)

    def whole(self, value: ArrayLike) -> str:
        """Return whole numbers as a constant; equal ones are kept once."""
        return self.graph.shared(value, np.int64)

    def truth(self, value: ArrayLike) -> str:
        """Return truth values as a constant; equal ones are kept once."""
        return self.graph.shared(value, np.bool_)

    def flat(self, value: str) -> str:
        """Append the numbers of any tensor as one line."""
        return self.add("Reshape", value, self.whole([-1]))

    def earlier(self, line: str, places: int, fill: str) -> str:
        """Append the line moved: at each place is what was `places` before it; first is `fill`."""
        longer = self.add("Concat", *[fill] * places, line, axis=0)
        return self.add("Slice", longer, self.whole([0]), self.whole([-places]))

    def later(self, line: str, places: int, fill: str) -> str:
        """Append the line moved: at each place is what was `places` after it; last is `fill`."""
        longer = self.add("Concat", line, *[fill] * places, axis=0)
        return self.add("Slice", longer, self.whole([places]), self.whole([2**62]))

    def equals(self, line: str, value: int) -> str:
        """Append where the line is a number."""
        return self.add("Equal", line, self.whole(value))

    def is_one_of(self, line: str, values: Sequence[int]) -> str:
        """Append where the line is any of some numbers."""
        return self.any(*(self.equals(line, value) for value in values))

    def any(self, *lines: str) -> str:
        """Append where any of some lines is true."""
        first, *others = lines
        for other in others:
            first = self.add("Or", first, other)
        return first

    def all(self, *lines: str) -> str:
        """Append where all of some lines are true."""
        first, *others = lines
        for other in others:
            first = self.add("And", first, other)
        return first

    def sums(self, line: str, **attributes: int) -> str:
        """Append the sum of the line up to each place; truths count as one."""
        return self.add("CumSum", line, self.whole(0), **attributes)

    def numbers(self, line: str) -> str:
        """Append truth values as whole numbers."""
        return self.add("Cast", line, to=TensorProto.INT64)

    def places(self, line: str) -> str:
        """Append the places where a line is true."""
        return self.flat(self.add("NonZero", line))

    def order(self, line: str) -> str:
        """Append the number of each place of a line: 0, 1, 2 ..."""
        ones = self.add("ConstantOfShape", self.add("Shape", line), value=_one())
        return self.add("CumSum", ones, self.whole(0), exclusive=1)

    def kept(self, line: str, keep: str) -> str:
        """Append those numbers of a line where `keep` is true."""
        return self.add("Compress", line, keep)

    def spread(self, *lines: str) -> str:
        """Append the numbers of each place of several lines, one after the other, without NONE."""
        column = self.whole([-1, 1])
        columns = [self.add("Reshape", line, column) for line in lines]
        together = self.flat(self.add("Concat", *columns, axis=1))
        return self.kept(together, self.add("Greater", together, self.whole(NONE)))

    def looked_up(self, points: str, table: NDArray[np.uint8] | NDArray[np.int32]) -> str:
        """Append what a table [TABLE_SIZE] has for each code point, as whole numbers."""
        starts, entries = shared_blocks(table)
        block = self.add("Div", points, self.whole(BLOCK))
        start = self.numbers(self.add("Gather", self.graph.shared(starts, np.int32), block))
        kept = self.graph.shared(entries, entries.dtype.type)
        return self.numbers(self.add("Gather", kept, self.add("Add", start, points)))


def _one() -> TensorProto:
    return TensorProto(data_type=TensorProto.INT64, dims=[1], int64_data=[1])


def table_of(fill: int = 0) -> NDArray[np.uint8]:
    """Return a table for `looked_up` that has `fill` for each code point and mark."""
    return np.full(TABLE_SIZE, fill, np.uint8)
