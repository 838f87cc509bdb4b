"""Sentencepiece's compiled normalizer as arithmetic, as the `tokenizers` library applies it.

The library looks at clusters of characters (Unicode's graphemes). One of less than six bytes is
replaced as a whole by what the map has for the shortest beginning of it that is a key; else each
character is replaced by itself. So "e" with an accent is composed, and a wide "e" loses its accent.

The map is a double array of darts-clone (as in google/sentencepiece, normalizer.cc), then texts
that end with NUL.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from olive_build.tokenizers.code_points import ROW_END_POINT, TABLE_SIZE, UNICODE_SIZE
from olive_build.tokenizers.line import NONE, LineWriter
from olive_build.tokenizers.sections import refuse
from olive_build.tokenizers.texts import ML

_ITSELF = -2
"""In a row of replacements: the character that is replaced."""
_SHORT = 5
"""Bytes of the longest cluster that is looked up as a whole; it has three characters at most."""
_EXTENDS, _PREPENDS, _CONTROL = 1, 2, 4
_BITS = 1 << 21
_MOST_KEYS, _LONGEST_KEY, _AT_ONCE = 10**6, 256, 4096


def normalized(line: LineWriter, points: str, charsmap: str) -> str:
    """Append a line of characters as the map `charsmap`, base64, has them."""
    replacements = _Replacements(_keys(charsmap))
    known = line.add("Min", points, line.whole(ROW_END_POINT))
    rows = line.looked_up(known, replacements.single)
    rows = _with_clusters(line, points, known, rows, replacements)
    table = line.graph.shared(replacements.rows, np.int32)
    found = line.numbers(line.add("Gather", table, rows))
    own = line.add("Reshape", points, line.whole([-1, 1]))
    found = line.flat(line.add("Where", line.equals(found, _ITSELF), own, found))
    return line.kept(found, line.add("Greater", found, line.whole(NONE)))


def _with_clusters(
    line: LineWriter, points: str, known: str, rows: str, replacements: _Replacements
) -> str:
    """Change the rows of replacements where a whole cluster is replaced."""
    no, zero = line.truth([False]), line.whole([0])
    first = _joined(line, points, known)
    joined = [first, *(line.later(first, places, no) for places in (1, 2, 3))]
    following = [points, *(line.later(points, places, zero) for places in (1, 2))]
    sizes = [_size(line, each) for each in following]
    two = line.add("Add", sizes[0], sizes[1])
    three = line.add("Add", two, sizes[2])
    starts = line.all(line.add("Not", joined[0]), joined[1])
    is_two = line.all(starts, line.add("Not", joined[2]), _at_most(line, two, _SHORT))
    long = line.all(starts, joined[2], line.add("Not", joined[3]))
    is_three = line.all(long, _at_most(line, three, _SHORT))
    cluster = line.any(is_two, is_three)
    pair = line.add("Add", line.add("Mul", points, line.whole(_BITS)), following[1])
    triple = line.add("Add", line.add("Mul", pair, line.whole(_BITS)), following[2])
    none = line.whole(0)
    by_pair = _looked_up(line, line.add("Where", cluster, pair, none), replacements.pairs)
    by_triple = _looked_up(line, line.add("Where", is_three, triple, none), replacements.triples)
    whole = line.add("Where", line.equals(by_pair, 0), by_triple, by_pair)
    whole = line.add("Where", line.equals(rows, 0), whole, rows)
    replaced = line.all(cluster, line.add("Not", line.equals(whole, 0)))
    rows = line.add("Where", replaced, whole, rows)
    second = line.earlier(replaced, 1, no)
    third = line.earlier(line.all(replaced, is_three), 2, no)
    return line.add("Where", line.any(second, third), line.whole(_Replacements.NOTHING), rows)


def _joined(line: LineWriter, points: str, known: str) -> str:
    """Append where a character belongs to the cluster of the one before it."""
    kind = line.looked_up(known, _cluster_table())
    before = line.earlier(kind, 1, line.whole([_CONTROL]))
    text = line.add("Not", line.equals(kind, _CONTROL))
    text_before = line.add("Not", line.equals(before, _CONTROL))
    joins = line.any(line.equals(kind, _EXTENDS), line.equals(before, _PREPENDS))
    feed = line.all(
        line.equals(points, 0x0A), line.equals(line.earlier(points, 1, line.whole([0])), 0x0D)
    )
    return line.any(line.all(text, text_before, joins), feed)


def _size(line: LineWriter, points: str) -> str:
    """Append how many bytes of UTF-8 a character has."""
    size = line.whole(1)
    for first in (0x80, 0x800, 0x10000):
        more = line.numbers(line.add("GreaterOrEqual", points, line.whole(first)))
        size = line.add("Add", size, more)
    return size


def _at_most(line: LineWriter, value: str, most: int) -> str:
    return line.add("LessOrEqual", value, line.whole(most))


def _looked_up(line: LineWriter, keys: str, rows: dict[int, int]) -> str:
    """Append the row of each key, 0 where it has none."""
    if not rows:
        return line.add("Mul", keys, line.whole(0))
    return line.graph.add(
        "LabelEncoder",
        [keys],
        domain=ML,
        keys_tensor=numpy_helper.from_array(np.array(list(rows), np.int64), "keys"),
        values_tensor=numpy_helper.from_array(np.array(list(rows.values()), np.int64), "values"),
        default_tensor=numpy_helper.from_array(np.array([0], np.int64), "default"),
    )


class _Replacements:
    """What characters and short clusters become: rows of code points, NONE where there are no more.

    `single` has the row of each code point; row 0 is the character itself, NOTHING an empty one.
    """

    NOTHING = 1

    def __init__(self, keys: dict[str, str]) -> None:
        numbers: dict[str, int] = {"": self.NOTHING}
        rows = {key: numbers.setdefault(text, len(numbers) + 1) for key, text in keys.items()}
        width = max(1, *map(len, numbers))
        self.rows = np.full((len(numbers) + 1, width), NONE, np.int32)
        self.rows[0, 0] = _ITSELF
        for text, number in numbers.items():
            self.rows[number, : len(text)] = [ord(c) for c in text]
        self.single = np.zeros(TABLE_SIZE, np.int32)
        self.pairs: dict[int, int] = {}
        self.triples: dict[int, int] = {}
        for key, number in rows.items():
            points = [ord(c) for c in key]
            if len(points) == 1:
                self.single[points[0]] = number
            elif len(key.encode()) <= _SHORT and len(points) == 2:
                self.pairs[points[0] * _BITS + points[1]] = number
            elif len(key.encode()) <= _SHORT and len(points) == 3:
                triple = (points[0] * _BITS + points[1]) * _BITS + points[2]
                self.triples[triple] = number


def _keys(charsmap: str) -> dict[str, str]:
    """Return what the map has for each of its keys. Raises StepError where it is no map."""
    try:
        data = base64.b64decode(charsmap, validate=True)
        size = int.from_bytes(data[:4], "little")
        units = np.frombuffer(data[4 : 4 + size], np.uint32).astype(np.int64)
        found = {
            key.decode(): _text(data, 4 + size + place) for key, place in _walked(units).items()
        }
    except (ValueError, IndexError, binascii.Error) as error:
        raise refuse("its precompiled_charsmap is damaged", f"reading it gave {error!r}") from error
    return found


def _text(data: bytes, begin: int) -> str:
    return data[begin : data.index(b"\0", begin)].decode()


def _walked(units: NDArray[np.int64]) -> dict[bytes, int]:
    """Return the value of each key of a double array, all keys of one length at a time."""
    if not len(units):
        raise ValueError("it has no nodes")
    found: dict[bytes, int] = {}
    places, keys = _offset(units[:1]), [b""]
    while keys:
        # A few thousand at a time: each is asked about 255 children.
        parts = [
            _children(units, places[at : at + _AT_ONCE]) for at in range(0, len(keys), _AT_ONCE)
        ]
        parents = np.concatenate([row + at * _AT_ONCE for at, (row, _, _) in enumerate(parts)])
        labels = np.concatenate([label for _, label, _ in parts])
        children = np.concatenate([child for _, _, child in parts])
        unit = units[children]
        places = children ^ _offset(unit)
        keys = [keys[row] + bytes([label]) for row, label in zip(parents, labels, strict=True)]
        for place in np.nonzero(unit >> 8 & 1)[0]:
            found[keys[place]] = int(units[places[place]] & 0x7FFFFFFF)
        # Keys share their ends, so a damaged map may have no end of them.
        if len(keys) > _MOST_KEYS or (keys and len(keys[0]) > _LONGEST_KEY):
            raise ValueError("there is no end of its keys")
    return found


def _children(
    units: NDArray[np.int64], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the children of some nodes: whose, by which byte, and where they are."""
    labels = np.arange(1, 0x100)
    children = places[:, None] ^ labels
    inside = children < len(units)
    unit = units[np.where(inside, children, 0)]
    row, column = np.nonzero(inside & ((unit & 0x800000FF) == labels))
    return row, labels[column], children[row, column]


def _offset(units: NDArray[np.int64]) -> NDArray[np.int64]:
    return (units >> 10) << ((units & 0x200) >> 6)


@lru_cache(maxsize=1)
def _cluster_table() -> NDArray[np.uint8]:
    """Return how each code point goes with its neighbours: uint8 [point].

    The library is asked: with a map of one key, which is found where a cluster begins with it.
    Which jamo, flags, emoji or conjuncts go together needs no table: such clusters are long.
    """
    table = np.zeros(TABLE_SIZE, np.uint8)
    points = [*range(0x20, 0xD800), *range(0xE000, 0x32000), *range(0xE0000, 0xE1000)]
    for point, part in zip(points, _asked("a", "a{}", points), strict=True):
        if part == "Z":
            table[point] = _EXTENDS
    for point, part in zip(points, _asked("a\u0301", "{}a\u0301", points), strict=True):
        if not part.endswith("Z"):
            table[point] = _PREPENDS
    for point, part in zip(points, _asked("\u0301\u0301", "{}\u0301\u0301", points), strict=True):
        if part.endswith("Z"):
            table[point] = _CONTROL
    table[:0x20] = _CONTROL
    table[UNICODE_SIZE:] = _CONTROL
    return table


def _asked(key: str, question: str, points: list[int]) -> list[str]:
    """Return what the library makes of a question about each point, with the map of `key` to Z."""
    from tokenizers import normalizers  # heavy, and only needed while building

    normalizer = normalizers.Precompiled(_map_of(key))
    parts: list[str] = []
    for start in range(0, len(points), 4096):
        asked = [question.format(chr(point)) for point in points[start : start + 4096]]
        parts += normalizer.normalize_str("\n".join(asked)).split("\n")
    return parts


def _map_of(key: str) -> bytes:
    """Return a map with one key, which becomes "Z": node n has its children from 256 * n on."""
    data = key.encode()
    units = np.zeros(0x100 * (len(data) + 2), np.uint32)
    units[0] = 0x100 << 10
    for depth, byte in enumerate(data, 1):
        place = 0x100 * depth ^ byte
        is_last = depth == len(data)
        units[place] = byte | is_last << 8 | (place ^ 0x100 * (depth + 1)) << 10
    units[0x100 * (len(data) + 1)] = 1 << 31
    return len(units.tobytes()).to_bytes(4, "little") + units.tobytes() + b"Z\0"
