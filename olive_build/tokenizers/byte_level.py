"""A byte-level BPE tokenizer as an ONNX graph: strings in, ids out, equal to `tokenizers`.

    text -> characters -> words -> bytes -> one string of coded words -> ids -> rows

Characters, added tokens and words are arithmetic on a line of numbers (characters.py,
byte_level_words.py). Only merging is left to the GPT2Tokenizer operator, whose own idea of words,
added tokens and unknown bytes is kept out of it: each byte reaches it as a letter of our own, each
word behind a space and a letter that marks it, so the operator cuts where we say and never finds a
whole word in its vocabulary (which it would take without merging). What the marks become is taken
out of the ids again.

Semantics of the operator are those of onnxruntime-extensions operators/tokenizer/bpe_kernels.cc
and bpe_tokenizer_model.hpp.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import onnx

from olive_build.families.graph_writer import EXTENSIONS
from olive_build.tokenizers.byte_level_spec import ALPHABET, ByteLevelSpec
from olive_build.tokenizers.byte_level_words import byte_columns, word_begins
from olive_build.tokenizers.characters import FIRST_ADDED, characters_of_texts, with_prefix
from olive_build.tokenizers.code_points import ROW_END_POINT
from olive_build.tokenizers.line import NONE, LineWriter
from olive_build.tokenizers.rows import finished, tokenizer_writer, write_rows

# What stands before each word, for the end of a text, and for an added token: words by themselves.
_MARKS = (" A", " B", " C")
_WORD, _ROW_END, _ADDED = range(0x100, 0x103)
# Letters for bytes: the short ones for the bytes that vocabularies have most, the others two bytes
# long. All are letters in every version of Unicode.
_SHORT = "abcdefghijklmnopqrstuvwxyzDEFGHIJKLMNOPQRSTUVWXYZ"
_LONG = "".join(map(chr, range(0x100, 0x200)))


def byte_level_graph(
    spec: ByteLevelSpec, *, max_length: int, opset: int, prompt: str
) -> onnx.ModelProto:
    """Return the graph of a byte-level BPE tokenizer; see `graph.tokenizer_graph`."""
    g = tokenizer_writer()
    line = LineWriter(g)
    points = characters_of_texts(g, spec.added, opset, prompt)
    if spec.prefix_space:
        points = with_prefix(line, points, ord(" "))
    coding = Coding(spec)
    ids = _ids(line, _coded(line, points, coding), coding)
    ids = _with_added(line, points, ids, spec, coding)
    write_rows(g, ids, coding.row_end, spec.frame, max_length)
    return finished(g, "byte_level_tokenizer", opset)


class Coding:
    """The vocabulary and merges in letters of our own, and the ids of the marks."""

    def __init__(self, spec: ByteLevelSpec) -> None:
        vocabulary = spec.vocabulary
        self._next = max([*vocabulary.values(), *(token.id for token in spec.added)]) + 1
        self.letters = _letters(vocabulary)
        self._coded = dict(zip(ALPHABET, map(self._in_alphabet, self.letters), strict=True))
        self._words: dict[str, int] = {}
        self._merges: list[tuple[str, str]] = []
        self.word, self.row_end, self.added = (self._mark(mark) for mark in _MARKS)
        for byte, letter in zip(ALPHABET, self.letters, strict=True):
            self._letter(letter, vocabulary.get(byte))
        for first, second in spec.merges:
            for word in (first, second, first + second):
                self._words[self._code(word)] = vocabulary[word]
            self._merges.append((self._code(first), self._code(second)))
        # A byte that is no word is left out before merging, as in the library.
        self.texts = [
            letter if byte in vocabulary else ""
            for byte, letter in zip(ALPHABET, self.letters, strict=True)
        ]

    def attributes(self) -> dict[str, Any]:
        """Return the operator's attributes."""
        # The operator writes past the end of a list where an id is not below the number of words.
        unused = set(range(self._next)) - set(self._words.values())
        words = self._words | {f"no {number}": number for number in sorted(unused)}
        vocabulary = json.dumps(words, ensure_ascii=False, separators=(",", ":"))
        merges = "".join(f"{first} {second}\n" for first, second in self._merges)
        return {"vocab": vocabulary, "merges": merges, "padding_length": -1}

    def _code(self, word: str) -> str:
        return "".join(self._coded[c] for c in word)

    @staticmethod
    def _in_alphabet(text: str) -> str:
        return "".join(ALPHABET[byte] for byte in text.encode())

    def _own(self) -> int:
        self._next += 1
        return self._next - 1

    def _part(self, text: str) -> str:
        """Let the operator know a byte of a letter or mark, and return its name there."""
        if text not in self._words:
            self._words[text] = self._own()
        return text

    def _mark(self, mark: str) -> int:
        space, letter = map(self._in_alphabet, mark)
        self._merges.append((self._part(space), self._part(letter)))
        self._words[space + letter] = self._own()
        return self._words[space + letter]

    def _letter(self, letter: str, number: int | None) -> None:
        name = self._in_alphabet(letter)
        if len(name) > 1:
            self._merges.append((self._part(name[0]), self._part(name[1])))
        self._words[name] = self._own() if number is None else number


def _letters(vocabulary: Mapping[str, int]) -> list[str]:
    """Return a letter for each byte."""
    counts = Counter(c for word in vocabulary for c in word)
    order = sorted(range(0x100), key=lambda byte: (-counts[ALPHABET[byte]], byte))
    letters = dict(zip(order, _SHORT + _LONG, strict=False))
    return [letters[byte] for byte in range(0x100)]


def _coded(line: LineWriter, points: str, coding: Coding) -> str:
    """Characters -> one string of all words, each with its mark; string [1]."""
    none = line.whole(NONE)
    mark = line.add("Where", word_begins(line, points), line.whole(_WORD), none)
    is_added = line.add("GreaterOrEqual", points, line.whole(FIRST_ADDED))
    mark = line.add("Where", is_added, line.whole(_ADDED), mark)
    mark = line.add("Where", line.equals(points, ROW_END_POINT), line.whole(_ROW_END), mark)
    symbols = line.spread(mark, *byte_columns(line, points))
    texts = [text.encode() for text in (*coding.texts, *_MARKS)]
    g = line.graph
    pieces = g.add("Gather", [g.strings("coded/texts", *texts), symbols])
    inputs = [pieces, g.strings("coded/no_glue", b""), g.constant("coded/axis", [0])]
    return g.add("StringJoin", inputs, "coded/all", domain=EXTENSIONS)


def _ids(line: LineWriter, words: str, coding: Coding) -> str:
    """Coded words -> ids and marks, without those of words; int64 [token]."""
    found = line.graph.add(
        "GPT2Tokenizer",
        [words],
        "merged/ids",
        "merged/mask",
        domain=EXTENSIONS,
        **coding.attributes(),
    )
    found = line.flat(found)
    return line.kept(found, line.add("Not", line.equals(found, coding.word)))


def _with_added(
    line: LineWriter, points: str, ids: str, spec: ByteLevelSpec, coding: Coding
) -> str:
    """Put the ids of added tokens, in their order, where their marks are; padding comes first."""
    if spec.added:
        is_added = line.add("GreaterOrEqual", points, line.whole(FIRST_ADDED))
        place = line.add("Sub", line.kept(points, is_added), line.whole(FIRST_ADDED))
        numbers = line.add("Gather", line.whole([token.id for token in spec.added]), place)
        numbers = line.add("Concat", line.whole([0]), numbers, axis=0)
        mark = line.equals(ids, coding.added)
        found = line.add("Gather", numbers, line.sums(line.numbers(mark)))
        ids = line.add("Where", mark, found, ids)
    return line.add("Concat", line.whole([spec.frame.pad or 0]), ids, axis=0)
