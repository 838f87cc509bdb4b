"""A Unigram tokenizer as an ONNX graph: strings in, ids out, equal to `tokenizers`.

    text -> characters -> normalized characters -> words -> pieces -> rows

The best pieces of a word are those with the largest sum of scores (Viterbi): for each place the
best way there is the best way to the begin of the piece that ends there, and that piece. All words
are searched at once, one character of each a step, in double precision and in the library's order,
so that equal sums are decided as there. SentencepieceTokenizer, which has the same search, sums in
single precision, and decides texts such as "hahaha" otherwise.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from olive_build.families.graph_writer import tensor_info
from olive_build.tokenizers.characters import (
    FIRST_ADDED,
    characters_of_texts,
    is_space,
    with_prefix,
)
from olive_build.tokenizers.charsmap import normalized
from olive_build.tokenizers.code_points import UNICODE_SIZE
from olive_build.tokenizers.line import NONE, LineWriter
from olive_build.tokenizers.rows import finished, tokenizer_writer, write_rows
from olive_build.tokenizers.sections import refuse
from olive_build.tokenizers.texts import ML
from olive_build.tokenizers.unigram_spec import MARK, UnigramSpec

_ROW_END = -1
_UNKNOWN_PENALTY = 10.0
"""How much less than the lowest score an unknown character has, as in the library."""


def unigram_graph(
    spec: UnigramSpec, *, max_length: int, opset: int, prompt: str
) -> onnx.ModelProto:
    """Return the graph of a Unigram tokenizer; see `graph.tokenizer_graph`."""
    g = tokenizer_writer()
    line = LineWriter(g)
    points = characters_of_texts(g, spec.added, opset, prompt)
    if spec.charsmap:
        points = normalized(line, points, spec.charsmap)
    points = _marked(line, points, spec)
    ids = _Search(line, points, spec).ids()
    ids = line.add("Concat", line.whole([spec.frame.pad or 0]), ids, axis=0)
    write_rows(g, ids, _ROW_END, spec.frame, max_length)
    return finished(g, "unigram_tokenizer", opset)


def _marked(line: LineWriter, points: str, spec: UnigramSpec) -> str:
    """Put the mark at the begin of each word, in the place of its space where there is one."""
    mark = ord(MARK)
    if not spec.splits_spaces:
        spaced = line.add("Where", line.equals(points, 0x20), line.whole(mark), points)
        return with_prefix(line, spaced, mark)
    space = is_space(line, points)
    apart = line.any(space, line.add("GreaterOrEqual", points, line.whole(UNICODE_SIZE)))
    first = line.all(line.earlier(apart, 1, line.truth([True])), line.add("Not", apart))
    wanted = line.all(first, line.add("Not", line.equals(points, mark)))
    prefix = line.add("Where", wanted, line.whole(mark), line.whole(NONE))
    kept = line.add("Where", space, line.whole(NONE), points)
    return line.spread(prefix, kept)


class _Search:
    """Finds the best pieces of every word of a line of characters.

    A word begins at each mark; the end of a text and an added token are words of one character.
    """

    def __init__(self, line: LineWriter, points: str, spec: UnigramSpec) -> None:
        self.line, self.points, self.spec = line, points, spec
        self.longest = max(len(piece) for piece, _ in spec.pieces)
        self.none = len(spec.pieces)
        """What stands for a piece that is none, and, next to it, for an unknown character."""

    def ids(self) -> str:
        """Append the ids of the best pieces of all words, with those of what is no word."""
        line = self.line
        apart = line.add("GreaterOrEqual", self.points, line.whole(UNICODE_SIZE))
        after = line.earlier(apart, 1, line.truth([True]))
        begins = line.any(line.equals(self.points, ord(MARK)), apart, after)
        word = line.add("Sub", line.sums(line.numbers(begins)), line.whole(1))
        starts = line.places(begins)
        start = line.add("Gather", starts, word)
        place = line.add("Sub", line.order(self.points), start)
        found = self._found(word)
        chosen = self._chosen(found, starts, place)
        count = line.add("Shape", starts)
        flat = line.add("Add", line.add("Mul", place, count), word)
        column = line.numbers(line.add("Gather", line.flat(chosen), flat))
        length = line.add("Sub", line.whole(self.longest), column)
        at = line.add("Mul", line.order(self.points), line.whole(self.longest))
        piece = line.add("Gather", line.flat(found), line.add("Add", at, column))
        last = line.later(begins, 1, line.truth([True]))
        best = self._on_best_way(last, line.add("Greater", length, place), length)
        return self._ids_of(best, piece, word)

    def _found(self, word: str) -> str:
        """Append the piece of each length that ends at each character; int64 [character, length].

        The longest comes first. A piece is found by a sum of its characters times weights.
        """
        line, pieces = self.line, [piece for piece, _ in self.spec.pieces]
        weights = _weights(self.longest)
        keys = _sums_of(pieces, weights)
        if len(np.unique(keys)) < len(keys):
            raise refuse("its pieces", "two of them have one sum in the graph")
        inner = any(MARK in piece[1:] for piece in pieces)
        value = line.add("Add", self.points, line.whole(1))
        total = line.add("Mul", value, line.whole(weights[0]))
        totals = [total]
        for back in range(1, self.longest):
            before = line.earlier(value, back, line.whole([0]))
            total = line.add("Add", total, line.add("Mul", before, line.whole(weights[back])))
            same = line.add("Equal", line.earlier(word, back, line.whole([-1])), word)
            totals.append(line.add("Where", same, total, line.whole(0)) if inner else total)
        rows = [line.add("Reshape", each, line.whole([1, -1])) for each in reversed(totals)]
        found = line.graph.add(
            "LabelEncoder",
            [line.add("Concat", *rows, axis=0)],
            domain=ML,
            keys_tensor=numpy_helper.from_array(keys, "keys"),
            values_tensor=numpy_helper.from_array(np.arange(len(keys)), "values"),
            default_tensor=numpy_helper.from_array(np.array([self.none]), "default"),
        )
        found = line.add("Transpose", found, perm=[1, 0])
        # A character of no piece is unknown, a piece of one character.
        unknown = line.whole([*[self.none] * (self.longest - 1), self.none + 1])
        return line.add("Where", line.equals(found, self.none), unknown, found)

    def _scores(self) -> str:
        lowest = min(score for _, score in self.spec.pieces) - _UNKNOWN_PENALTY
        scores = [*(score for _, score in self.spec.pieces), -np.inf, lowest]
        return self.line.graph.shared(np.array(scores, np.float64), np.float64)

    def _chosen(self, found: str, starts: str, place: str) -> str:
        """Append which piece is best for each place of each word; uint8 [place, word].

        The number is that of a column of `found`.
        """
        line = self.line
        scores = line.add("Gather", self._scores(), found)
        longest = line.add("Concat", line.whole([-1]), place, axis=0)
        steps = line.add("Add", line.add("ReduceMax", longest, keepdims=0), line.whole(1))
        begin = np.full((1, self.longest), -np.inf)
        begin[0, -1] = 0.0
        size = line.add("Concat", line.add("Shape", starts), line.whole([1]), axis=0)
        state = line.add("Tile", line.graph.shared(begin, np.float64), size)
        last = line.add("Sub", line.add("Shape", self.points), line.whole([1]))
        body = self._step(scores, starts, last)
        outputs = [f"{line.graph.prefix}/search/state", f"{line.graph.prefix}/search/chosen"]
        line.graph.add("Loop", [steps, "", state], "search/state", "search/chosen", body=body)
        return outputs[1]

    def _step(self, scores: str, starts: str, last: str) -> onnx.GraphProto:
        """Return the graph of one step: the best way to one more character of each word.

        Its state are the sums at the last places: float64 [word, length].
        """
        inner = self.line.graph.branch("step")
        line, own = LineWriter(inner), f"{inner.prefix}/"
        at = line.add("Min", line.add("Add", starts, f"{own}step"), last)
        sums = line.add("Add", f"{own}state", line.add("Gather", scores, at))
        chosen = line.add("ArgMax", sums, axis=1, keepdims=1)
        best = line.add("GatherElements", sums, chosen, axis=1)
        inner.output("Cast", [line.flat(chosen)], f"{own}chosen", to=TensorProto.UINT8)
        ends = (line.whole([1]), line.whole([2**62]), line.whole([1]))
        others = line.add("Slice", f"{own}state", *ends)
        inner.output("Concat", [others, best], f"{own}next", axis=1)
        inner.output("Identity", [f"{own}goes_on"], f"{own}still")
        return helper.make_graph(
            inner.nodes,
            "step",
            [
                tensor_info(f"{own}step", TensorProto.INT64, []),
                tensor_info(f"{own}goes_on", TensorProto.BOOL, []),
                tensor_info(f"{own}state", TensorProto.DOUBLE, ["word", self.longest]),
            ],
            [
                tensor_info(f"{own}still", TensorProto.BOOL, []),
                tensor_info(f"{own}next", TensorProto.DOUBLE, ["word", self.longest]),
                tensor_info(f"{own}chosen", TensorProto.UINT8, ["word"]),
            ],
        )

    def _on_best_way(self, last: str, is_first: str, length: str) -> str:
        """Append at which characters a piece of the best way of its word ends.

        From the last character of each word the way goes back; jumps double in length.
        """
        line = self.line
        order = line.order(self.points)
        size = line.add("Shape", self.points)
        # Beyond the first piece lies a place after all characters, which leads to itself.
        back = line.add("Sub", order, length)
        back = line.add("Where", is_first, size, back)
        back = line.add("Concat", back, size, axis=0)
        marks = line.add("Concat", last, line.truth([False]), axis=0)
        body = self._jump(size)
        names = ("way/on", "way/back")
        goes = line.truth(True)
        line.graph.add("Loop", ["", goes, marks, back], *names, body=body)
        on = f"{line.graph.prefix}/way/on"
        return line.add("Slice", on, line.whole([0]), line.whole([-1]))

    def _jump(self, size: str) -> onnx.GraphProto:
        inner = self.line.graph.branch("jump")
        line, own = LineWriter(inner), f"{inner.prefix}/"
        on, back = f"{own}on", f"{own}back"
        reached, yes = line.kept(back, on), line.kept(on, on)
        inner.output("ScatterElements", [on, reached, yes], f"{own}next_on", axis=0)
        further = inner.output("Gather", [back, back], f"{own}next_back")
        nearest = line.add("ReduceMin", further, keepdims=0)
        inner.output("Less", [nearest, line.add("Squeeze", size)], f"{own}still")
        return helper.make_graph(
            inner.nodes,
            "jump",
            [
                tensor_info(f"{own}jump", TensorProto.INT64, []),
                tensor_info(f"{own}goes_on", TensorProto.BOOL, []),
                tensor_info(on, TensorProto.BOOL, ["place"]),
                tensor_info(back, TensorProto.INT64, ["place"]),
            ],
            [
                tensor_info(f"{own}still", TensorProto.BOOL, []),
                tensor_info(f"{own}next_on", TensorProto.BOOL, ["place"]),
                tensor_info(f"{own}next_back", TensorProto.INT64, ["place"]),
            ],
        )

    def _ids_of(self, best: str, piece: str, word: str) -> str:
        """Append the ids; several unknown pieces in a row of one word are one."""
        line, spec = self.line, self.spec
        piece, word = line.kept(piece, best), line.kept(word, best)
        points = line.kept(self.points, best)
        unknown = line.equals(piece, self.none + 1)
        apart = line.add("GreaterOrEqual", points, line.whole(UNICODE_SIZE))
        before = line.earlier(unknown, 1, line.truth([False]))
        same = line.add("Equal", line.earlier(word, 1, line.whole([-1])), word)
        again = line.all(unknown, before, same)
        ids = line.add("Where", unknown, line.whole(spec.unknown), piece)
        added = [token.id for token in spec.added]
        place = line.add("Max", line.add("Sub", points, line.whole(FIRST_ADDED - 1)), line.whole(0))
        marks = line.add("Gather", line.whole([_ROW_END, *added]), place)
        ids = line.add("Where", apart, marks, ids)
        return line.kept(ids, line.add("Not", again))


def _weights(count: int) -> NDArray[np.int64]:
    """Return odd numbers for the places of a piece, from its end."""
    return np.random.default_rng(1).integers(2**40, 2**62, count) * 2 + 1


def _sums_of(pieces: list[str], weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of each piece, as arithmetic modulo 2**64 gives it."""
    sums = np.zeros(len(pieces), np.int64)
    for number, piece in enumerate(pieces):
        points = np.frombuffer(piece[::-1].encode("utf-32-le"), np.uint32).astype(np.int64) + 1
        sums[number] = (points * weights[: len(points)]).sum()
    return sums
