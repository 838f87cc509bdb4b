"""Bytes to strings as a graph: each byte of a character is itself, other bytes are U+FFFD.

What is replaced is as in Unicode 3.9, "U+FFFD Substitution of Maximal Subparts", which Rust's
from_utf8_lossy follows, and with it the `tokenizers` library: a character that breaks off becomes
one U+FFFD as far as it could have been one. The valid bytes are those of its table 3-7.

A first byte can only be followed by later bytes, which are never first bytes themselves. So how
far a character goes is seen from its first byte and the three after it, whatever came before, and
all bytes can be looked at at once.
"""

from __future__ import annotations

from onnx import TensorProto

from olive_build.families.graph_writer import GraphWriter

LONGEST = 4
LATER = (0x80, 0xBF)
# From, to (both included), bytes of the character, the limits of its second byte.
FIRST_BYTES = (
    (0xC2, 0xDF, 2, LATER),
    (0xE0, 0xE0, 3, (0xA0, 0xBF)),
    (0xE1, 0xEC, 3, LATER),
    (0xED, 0xED, 3, (0x80, 0x9F)),
    (0xEE, 0xEF, 3, LATER),
    (0xF0, 0xF0, 4, (0x90, 0xBF)),
    (0xF1, 0xF3, 4, LATER),
    (0xF4, 0xF4, 4, (0x80, 0x8F)),
)
REPLACEMENT, NOTHING = 256, 0


def pieces_of_bytes(g: GraphWriter, rows: str) -> str:
    """Write the nodes from bytes to strings that, joined along a row, are valid UTF-8.

    `rows`: int64 [row, byte], 0 to 255, each row with LONGEST zeros at its end. The result is
    string [row, byte]: a byte, U+FFFD or nothing. Zero bytes are nothing.
    """
    reached, size = _reached(g, rows)
    length = g.constant("first_byte", 1)
    for by, part in enumerate(reached, 1):
        more = g.add("Cast", [part], f"has_byte_{by}", to=TensorProto.INT64)
        length = g.add("Add", [length, more], f"length_{by}")
    whole = g.add("Equal", [length, size], "is_whole")
    taken = _any(g, [_moved(g, part, by, "taken") for by, part in enumerate(reached, 1)], "taken")
    inner = [g.add("And", [part, whole], f"inner_{by}") for by, part in enumerate(reached, 1)]
    kept = _any(g, [_moved(g, part, by, "kept") for by, part in enumerate(inner, 1)], "kept")
    kept = g.add("Or", [whole, kept], "is_kept")
    replacement, nothing = g.constant("replacement", REPLACEMENT), g.constant("no_byte", NOTHING)
    other = g.add("Where", [taken, nothing, replacement], "piece_of_no_character")
    piece = g.add("Where", [kept, rows, other], "piece")
    texts = [b"", *(bytes([byte]) for byte in range(1, 256)), "\ufffd".encode()]
    return g.add("Gather", [g.strings("pieces", *texts), piece], "pieces_of_rows")


def _reached(g: GraphWriter, rows: str) -> tuple[list[str], str]:
    """Whether the character that starts at a byte goes on for 1, 2 and 3 more bytes; its size.

    bool [row, byte] each, and int64 [row, byte]: 0 for a byte that starts none.
    """
    sizes, lowest, highest = _first_bytes()
    size = g.add("Gather", [g.constant("sizes", sizes), rows], "size_of_character")
    low = g.add("Gather", [g.constant("lowest_second", lowest), rows], "lowest")
    high = g.add("Gather", [g.constant("highest_second", highest), rows], "highest")
    reached: list[str] = []
    for by in range(1, LONGEST):
        back = g.constant(f"back_{by}", [0, -by, 0, by])
        following = g.add("Pad", [rows, back], f"byte_{by}")
        if by > 1:
            low, high = (
                g.constant(name, limit)
                for name, limit in zip(("later_from", "later_to"), LATER, strict=True)
            )
        above = g.add("GreaterOrEqual", [following, low], f"not_below_{by}")
        below = g.add("LessOrEqual", [following, high], f"not_above_{by}")
        found = g.add("And", [above, below], f"fits_{by}")
        if reached:
            needed = g.add("Greater", [size, g.constant(f"more_than_{by}", by)], f"needs_{by}")
            found = g.add("And", [found, needed], f"fits_and_needs_{by}")
            found = g.add("And", [found, reached[-1]], f"reaches_{by}")
        reached.append(found)
    return reached, size


def _first_bytes() -> tuple[list[int], list[int], list[int]]:
    """By byte: the size of the character that it starts, and the limits of its second byte."""
    sizes = [1] * 128 + [0] * 128
    # Limits that no byte is between, where there is no second byte.
    lowest, highest = [256] * 256, [-1] * 256
    for first, last, size, (low, high) in FIRST_BYTES:
        for byte in range(first, last + 1):
            sizes[byte], lowest[byte], highest[byte] = size, low, high
    return sizes, lowest, highest


def _any(g: GraphWriter, parts: list[str], name: str) -> str:
    result, *others = parts
    for place, part in enumerate(others):
        result = g.add("Or", [result, part], f"{name}_or_{place}")
    return result


def _moved(g: GraphWriter, flags: str, by: int, name: str) -> str:
    """Each flag `by` places further on in its row, no flag at the start; bool [row, byte]."""
    numbers = g.add("Cast", [flags], f"{name}_number_{by}", to=TensorProto.INT32)
    ahead = g.constant(f"zeros_ahead_{by}", [0, by, 0, -by])
    moved = g.add("Pad", [numbers, ahead], f"{name}_moved_number_{by}")
    return g.add("Cast", [moved], f"{name}_moved_{by}", to=TensorProto.BOOL)
