r"""Where words begin for a byte-level BPE: GPT-2's regular expression as arithmetic.

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Whether a word begins at a character follows from its class, its neighbours', and whether an
ending such as 's stands there. No operator of onnxruntime-extensions has this expression as the
`tokenizers` library has it: theirs differ in the classes of characters.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from olive_build.tokenizers.code_points import (
    BLOCK,
    ROW_END_POINT,
    SURROGATES,
    TABLE_SIZE,
    UNICODE_SIZE,
)
from olive_build.tokenizers.line import LineWriter

END, LETTER, NUMBER, OTHER, BLANK, SPACE = range(6)
"""Classes: what no word goes over, letters, numbers, the rest, white space, U+0020."""

_SHORT, _LONG = ("s", "t", "m", "d"), (("r", "e"), ("v", "e"), ("l", "l"))


def word_begins(line: LineWriter, points: str) -> str:
    """Append where words begin on a line of characters; false for texts' ends and added tokens."""
    kind = line.looked_up(line.add("Min", points, line.whole(ROW_END_POINT)), class_table())
    before = line.earlier(kind, 1, line.whole([END]))
    after = line.later(kind, 1, line.whole([END]))
    blank = line.add("GreaterOrEqual", kind, line.whole(BLANK))
    blank_before = line.add("GreaterOrEqual", before, line.whole(BLANK))
    # The last blank before a text's character is a word of its own, or begins that of a space.
    last = line.is_one_of(after, (LETTER, NUMBER, OTHER))
    blank_begins = line.all(blank, line.any(line.add("Not", blank_before), last))
    solid = line.all(line.add("Not", blank), line.add("Greater", kind, line.whole(END)))
    changes = line.add("Not", line.add("Equal", kind, before))
    after_space = line.equals(before, SPACE)
    solid_begins = line.all(solid, changes, line.add("Not", after_space))
    begins = line.any(blank_begins, solid_begins)
    return _with_endings(line, points, kind, before, begins)


def _with_endings(line: LineWriter, points: str, kind: str, before: str, begins: str) -> str:
    """Make each of GPT-2's endings, where a word would begin at its apostrophe, one word."""
    first = line.later(points, 1, line.whole([0]))
    second = line.later(points, 2, line.whole([0]))
    at_begin = line.add("Not", line.is_one_of(before, (OTHER, SPACE)))
    ending = line.all(line.equals(points, ord("'")), at_begin)
    short = line.all(ending, line.is_one_of(first, [ord(c) for c in _SHORT]))
    pairs = [line.all(line.equals(first, ord(a)), line.equals(second, ord(b))) for a, b in _LONG]
    long = line.all(ending, line.any(*pairs))
    no = line.truth([False])
    inside = line.earlier(line.any(short, long), 1, no)
    done = line.any(line.earlier(short, 2, no), line.earlier(long, 3, no))
    again = line.all(done, line.equals(kind, LETTER))
    return line.any(line.all(begins, line.add("Not", inside)), again)


@lru_cache(maxsize=1)
def class_table() -> NDArray[np.uint8]:
    """Return the class of each code point, as the tokenizers library cuts words: uint8 [point].

    It is asked about blocks, and about each character of a block that it cuts.
    """
    table = np.full(TABLE_SIZE, END, np.uint8)
    for first in range(0, UNICODE_SIZE, BLOCK):
        block = range(first, first + BLOCK)
        if first in range(SURROGATES.start, SURROGATES.stop):
            table[first : first + BLOCK] = OTHER
            continue
        text = "".join(map(chr, block))
        # A letter and a number around it: it goes with the one, or with neither.
        begins = _begins(f"a{text}1")
        if begins == {0, BLOCK + 1}:
            table[first : first + BLOCK] = LETTER
        elif begins == {0, 1, BLOCK + 1}:
            table[first : first + BLOCK] = OTHER
        else:
            table[first : first + BLOCK] = _classes(text)
    table[0x20] = SPACE
    return table


def _classes(text: str) -> list[int]:
    """Return the class of each character of a text.

    Each is asked about between a letter and a number, and between two marks of the other class: a
    blank is then a word by itself.
    """
    between = _begins("".join(f"a{c}1!" for c in text))
    among = _begins("".join(f"!{c}!a" for c in text))
    found = []
    for at in range(1, 4 * len(text), 4):
        other = BLANK if at in among and at + 1 in among else OTHER
        number = at in between and at + 1 not in between
        found.append(LETTER if at not in between else NUMBER if number else other)
    return found


def _begins(text: str) -> set[int]:
    from tokenizers import pre_tokenizers  # heavy, and only needed while building

    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return {begin for _, (begin, _) in cut.pre_tokenize_str(text)}


def byte_columns(line: LineWriter, points: str) -> tuple[str, str, str, str]:
    """Append the bytes of each character's UTF-8, NONE where it has fewer; and of what is none.

    Their order is that of the text; numbers from UNICODE_SIZE on have no byte at all.
    """
    none = line.whole(-1)

    def at_least(first: int) -> str:
        return line.add("GreaterOrEqual", points, line.whole(first))

    def part(divisor: int) -> str:
        return line.add("Div", points, line.whole(divisor))

    def following(divisor: int, first: int) -> str:
        low = line.add("Mod", part(divisor), line.whole(64))
        low = line.add("Add", low, line.whole(0x80))
        return line.add("Where", line.all(at_least(first), is_text), low, none)

    is_text = line.add("Less", points, line.whole(UNICODE_SIZE))
    lead = points
    for first, divisor, mark in ((0x80, 64, 0xC0), (0x800, 4096, 0xE0), (0x10000, 262144, 0xF0)):
        high = line.add("Add", part(divisor), line.whole(mark))
        lead = line.add("Where", at_least(first), high, lead)
    lead = line.add("Where", is_text, lead, none)
    return lead, following(4096, 0x10000), following(64, 0x800), following(1, 0x80)
