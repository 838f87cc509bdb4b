"""Numbers of characters in a graph: code points, the marks beyond them, and tables of all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UNICODE_SIZE = 0x110000
SPECIAL_OPEN_POINT = UNICODE_SIZE
SPECIAL_CLOSE_POINT = 0x7F
RAW_SHIFT = UNICODE_SIZE + 0x80
"""Added to an ASCII code point inside a special token, where characters stand for themselves.

The closing mark is DEL: shifted it is a space, and unshifted (which only text that is not UTF-8
can bring about) it is a control character that the normalizer drops.
"""

TABLE_SIZE = RAW_SHIFT + 0x100
ROW_END_POINT = TABLE_SIZE - 1
BLOCK = 128

# Rust's char cannot be a surrogate, so the tokenizers library has no answer for these. They arrive
# only as the two halves of one character in the modified UTF-8 of Java's JNI. Taken as one
# character of no word they give what most of those characters (emoji above all) give.
HIGH_SURROGATES = slice(0xD800, 0xDC00)
SURROGATES = slice(0xD800, 0xE000)


def every_code_point() -> list[int]:
    """Return all code points that a text of the tokenizers library can hold."""
    return [*range(0xD800), *range(0xE000, UNICODE_SIZE)]


def shared_blocks(classes: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Return the table with each distinct block of BLOCK entries kept once, and where blocks begin.

    The beginnings are such that adding the code point itself gives the place of its entry.
    """
    blocks, place = np.unique(classes.reshape(-1, BLOCK), axis=0, return_inverse=True)
    begins = np.arange(len(place)) * BLOCK
    return (place.reshape(-1) * BLOCK - begins).astype(np.int32), blocks.reshape(-1)
