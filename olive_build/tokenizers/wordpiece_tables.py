"""The constants of a WordPiece graph: what each code point becomes, and the words as lines.

A BERT normalizer looks at one code point at a time: cleaning, spaces around Chinese characters,
decomposition (NFD) without non-spacing marks, and lower case all give the same result for a text
as for its code points one after the other (save for the order of marks, see `_check_marks`). So
the whole normalizer, and the pre-tokenizer's question "does this character stand alone?", is a
table from code point to a few symbols. A symbol is a character that occurs in some word of the
vocabulary; all others are one symbol, `UNKNOWN`, because a word that holds any of them is unknown
as a whole.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from olive_build.tokenizers.code_points import (
    HIGH_SURROGATES,
    RAW_SHIFT,
    ROW_END_POINT,
    SPECIAL_CLOSE_POINT,
    SPECIAL_OPEN_POINT,
    SURROGATES,
    TABLE_SIZE,
    UNICODE_SIZE,
    every_code_point,
    shared_blocks,
)
from olive_build.tokenizers.sections import refuse
from olive_build.tokenizers.wordpiece_spec import LOWERED, WordPieceSpec

NOTHING, SPACE, ROW_END, UNKNOWN, FIRST_LETTER = range(5)
"""Symbols: none, the space between words, the end of a text, a character of no word, letters."""

_DROPPED, _LETTER, _ALONE, _OTHER = range(4)


@dataclass(frozen=True)
class CharacterTables:
    """`symbols[class]` for `classes[block_start[point // BLOCK] + point]`, and each symbol's text.

    block_start: int32 [block]; classes: uint16 [entry]; symbols: int16 [class, place], filled up
    with NOTHING; texts: one string a symbol. The types are the smallest that fit: these tables
    are what the graph weighs beside the vocabulary.
    """

    block_start: NDArray[np.int32]
    classes: NDArray[np.uint16]
    symbols: NDArray[np.int16]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class WordLines:
    """The vocabulary as the operator's lines: word n is line n, then helpers of ours.

    The line `row_end` is the mark at the end of each text. Lines from `first_void` on are pieces
    that the tokenizer does not have: one for each letter at each place in a word, so that the
    operator always gets to the end of a word and the pieces found before are known to be void.
    `starts_word` is bool [line].
    """

    lines: tuple[str, ...]
    row_end: int
    first_void: int
    starts_word: NDArray[np.bool_]


def alphabet(spec: WordPieceSpec) -> tuple[str, ...]:
    """Return every character of every word and special token, sorted, without the space."""
    return tuple(sorted(set().union(*spec.vocabulary, *spec.special_tokens) - {" "}))


def _stand_ins(letters: tuple[str, ...]) -> tuple[str, str]:
    """Return two characters of no word: the text of ROW_END and that of UNKNOWN."""
    free = (chr(point) for point in range(0xE000, 0xF900) if chr(point) not in letters)
    return next(free), next(free)


@lru_cache(maxsize=8)
def _normalized_points(options: str) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Return what the normalizer makes of every code point: kinds, and the texts that need saying.

    The tokenizers library itself is asked, all code points in a few long strings, so that the
    version of Unicode is the one it has. kinds: uint8 [code_point].
    """
    from tokenizers import normalizers  # heavy, and only needed while building

    given = json.loads(options)
    lowered = [normalizers.Lowercase()] if given.pop(LOWERED) else []
    normalizer = normalizers.Sequence([*lowered, normalizers.BertNormalizer(**given)])
    changed: dict[int, str] = {}
    points = [p for p in every_code_point() if p != 0x7C]
    for start in range(0, len(points), 8192):
        chunk = points[start : start + 8192]
        # Nothing but U+007C itself has U+007C in its form, so it may hold the points apart.
        parts = normalizer.normalize_str("|".join(map(chr, chunk))).split("|")
        if len(parts) != len(chunk):
            raise refuse("its normalizer", "it does not treat U+007C as a plain character")
        changed.update((p, part) for p, part in zip(chunk, parts, strict=True) if part != chr(p))
    return _kinds(changed)


def _kinds(changed: dict[int, str]) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Sort the code points by what the normalizer and the pre-tokenizer make of them together."""
    alone, blank = _stand_alone()
    kinds = np.full(UNICODE_SIZE, _LETTER, np.uint8)
    texts: dict[int, str] = {}
    for point in sorted({*map(ord, alone | blank), *changed}):
        form = changed.get(point, chr(point))
        text = "".join(f" {c} " if c in alone else " " if c in blank else c for c in form)
        while "  " in text:
            text = text.replace("  ", " ")
        if not text:
            kinds[point] = _DROPPED
        elif text == f" {chr(point)} ":
            kinds[point] = _ALONE
        else:
            kinds[point] = _OTHER
            texts[point] = text
    kinds[SURROGATES] = _DROPPED
    kinds[HIGH_SURROGATES] = _LETTER
    return kinds, texts


@lru_cache(maxsize=1)
def _stand_alone() -> tuple[frozenset[str], frozenset[str]]:
    """Return the characters that the pre-tokenizer makes a word each, and those it drops as space.

    The characters asked about are at odd places of one long string, with a letter between them.
    """
    from tokenizers import pre_tokenizers

    text = "x" + "".join(chr(point) + "x" for point in every_code_point())
    alone: set[str] = set()
    blank: set[str] = set()
    covered = 0
    for _, (begin, end) in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text):
        if begin > covered:
            blank.add(text[covered])
        if begin % 2:
            alone.add(text[begin])
        covered = end
    return frozenset(alone), frozenset(blank)


def _symbols_of(text: str, symbol: dict[str, int]) -> tuple[int, ...]:
    """Return the symbols of a spaced text; a run of letters with one unknown is UNKNOWN."""
    found: list[int] = []
    for place, word in enumerate(text.split(" ")):
        if place:
            found.append(SPACE)
        numbers = [symbol.get(c, UNKNOWN) for c in word]
        found.extend([UNKNOWN] if UNKNOWN in numbers else numbers)
    return tuple(found)


def _check_marks(spec: WordPieceSpec, letters: list[str]) -> None:
    """Refuse words with marks that decomposition may exchange: then neighbours matter.

    Nearly all marks are dropped with the accents, and a mark of no word makes any word unknown.
    """
    options = json.loads(spec.normalizer)
    decomposes = (
        options["lowercase"] if options["strip_accents"] is None else options["strip_accents"]
    )
    marks = [c for c in letters if unicodedata.combining(c)]
    if decomposes and len({unicodedata.combining(c) for c in marks}) > 1:
        raise refuse(
            f"its words hold the marks {', '.join(f'U+{ord(c):04X}' for c in marks)}",
            "decomposition may exchange them, and the graph looks at one character at a time",
        )


def character_tables(spec: WordPieceSpec) -> CharacterTables:
    """Return the table from code point to symbols for the vocabulary and normalizer of `spec`.

    Raises StepError when the code points of a text cannot be looked at one by one.
    """
    letters = alphabet(spec)
    kinds, texts = _normalized_points(spec.normalizer)
    _check_marks(spec, [c for c in letters if kinds[ord(c)] != _DROPPED])
    symbol = {c: FIRST_LETTER + place for place, c in enumerate(letters)}
    rows: dict[tuple[int, ...], int] = {(): 0, (UNKNOWN,): 1, (SPACE, UNKNOWN, SPACE): 2}

    def class_of(symbols: tuple[int, ...]) -> int:
        return rows.setdefault(symbols, len(rows))

    classes = np.zeros(TABLE_SIZE, np.int64)
    classes[:UNICODE_SIZE] = np.choose(kinds, [0, 1, 2, 0])
    for c, number in symbol.items():
        if kinds[ord(c)] == _LETTER:
            classes[ord(c)] = class_of((number,))
        elif kinds[ord(c)] == _ALONE:
            classes[ord(c)] = class_of((SPACE, number, SPACE))
        if ord(c) < 0x7F:
            classes[RAW_SHIFT + ord(c)] = class_of((number,))
    for point, text in texts.items():
        classes[point] = class_of(_symbols_of(text, symbol))
    classes[ROW_END_POINT] = class_of((SPACE, ROW_END, SPACE))
    classes[[SPECIAL_OPEN_POINT, RAW_SHIFT + SPECIAL_CLOSE_POINT]] = class_of((SPACE,))
    if len(rows) > np.iinfo(np.uint16).max or len(letters) >= np.iinfo(np.int16).max - FIRST_LETTER:
        raise refuse(f"{len(letters)} different characters", "the tables count them in 15 bits")
    block_start, entries = shared_blocks(classes.astype(np.uint16))
    width = max(map(len, rows))
    symbols = [row + (NOTHING,) * (width - len(row)) for row in rows]
    return CharacterTables(
        block_start, entries, np.array(symbols, np.int16), ("", " ", *_stand_ins(letters), *letters)
    )


def word_lines(spec: WordPieceSpec) -> WordLines:
    """Return the vocabulary and special tokens as lines, with the helper lines after them."""
    words = {**spec.vocabulary, **spec.special_tokens}
    letters = alphabet(spec)
    row_end_text, unknown_text = _stand_ins(letters)
    # A line with a space in it is never looked up, because words are what lies between spaces.
    lines = [f"no {number}" for number in range(max(words.values()) + 1)]
    for word, number in words.items():
        lines[number] = word
    row_end = len(lines)
    lines.append(row_end_text)
    for c in (unknown_text, *letters):
        lines.extend(piece for piece in (c, spec.prefix + c) if piece not in words)
    starts = [not line.startswith(spec.prefix) for line in lines]
    return WordLines(tuple(lines), row_end, row_end + 1, np.array(starts))
