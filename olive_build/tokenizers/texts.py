"""Texts become code points: the beginning of every tokenizer's graph.

The stages are texts, their bytes as numbers, and code points; the names of tensors begin with
their stage. Text becomes numbers as early as possible: a table lookup in numbers costs the same
for every script.

Semantics of the operators are those of onnxruntime-extensions operators/text/string_split.cc,
string_join.cc and re2_strings/string_regex_replace.cc.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from olive_build.families.graph_writer import EXTENSIONS, GraphWriter, string_tensor
from olive_build.tokenizers import code_points as points

ML = "ai.onnx.ml"
TEXT = "text"
PREFIX = "tokenizer"
ZERO, ONE = f"{PREFIX}/zero", f"{PREFIX}/one"
TEXTS_OF_BYTES = f"{PREFIX}/bytes/texts"

NUL_OPSET = 20
"""From this opset on a text may hold U+0000; before it, such a text ends there.

`tokenizers` drops U+0000. Operators of onnxruntime-extensions read a string up to its first NUL
(base/string_tensor.cc), so it must go before they see the text, and the operator of ONNX that can
do this, StringSplit, came with opset 20. Many clients cannot pass a NUL in the first place: the C
function that fills a tensor takes zero-terminated strings, and Java writes U+0000 as C0 80, which
is dropped at every opset.
"""

NUL_OF_JAVA = b"\xc0\x80"
"""U+0000 as the modified UTF-8 of Java has it, which goes through all operators."""

_CONTINUATION, _LEAD = 0x80, 0xC0
_FIRST_LEAD = 64
_ROW_END_BYTE = _FIRST_LEAD + 256
_OPEN, _CLOSE = 0xFE, 0xFF  # bytes that no valid UTF-8 holds


def points_of_texts(
    g: GraphWriter,
    special_tokens: Iterable[str],
    opset: int,
    prompt: str = "",
    nul: bytes = b"",
) -> str:
    """Write the stages from the input `text`, with `prompt` before each, to code points.

    int64 [1, character]. After each text stands ROW_END_POINT, around a special token
    SPECIAL_OPEN_POINT and SPECIAL_CLOSE_POINT; the latter and the token's characters, which must
    be ASCII, are RAW_SHIFT more than they are.
    """
    text = _with_nul_as(g, nul) if opset >= NUL_OPSET else TEXT
    if prompt:
        text = _after_prompt(g, text, prompt)
    tokens = list(special_tokens)
    if tokens:
        text = _marked_special_tokens(g, text, tokens)
    return _code_points(g, _stream(g, text))


def _after_prompt(g: GraphWriter, text: str, prompt: str) -> str:
    """Put `prompt` before each text; string [batch_size].

    The beginning of a text is what is replaced: StringConcat wants as many prompts as texts.
    """
    rewrite = prompt.replace("\\", r"\\").encode()
    inputs = [text, g.strings("prompt/begin", rb"\A"), g.strings("prompt/text", rewrite)]
    return g.add(
        "StringRegexReplace", inputs, "prompt/before_text", domain=EXTENSIONS, global_replace=0
    )


def _with_nul_as(g: GraphWriter, nul: bytes) -> str:
    """Cut each text at its NULs and join the parts with `nul` between; string [batch_size].

    One empty text goes along and is taken off again, because the extension's StringJoin writes to
    a first element even when there is none: a batch of no text would end the whole process.
    """
    more = g.add("Concat", [TEXT, g.strings("text/empty", b"")], "text/one_more", axis=0)
    parts = g.add("StringSplit", [more], "text/parts", "text/part_count", delimiter=b"\0")
    if nul:
        parts = _with_glue(g, parts, nul)
    inputs = [parts, g.strings("text/no_glue", b""), g.constant("text/columns", [1])]
    joined = g.add("StringJoin", inputs, "text/one_more_joined", domain=EXTENSIONS)
    limits = [g.constant("text/from", [0]), g.constant("text/to", [-1])]
    return g.add("Slice", [joined, *limits], "text/without_nul")


def _with_glue(g: GraphWriter, parts: str, glue: bytes) -> str:
    """Put `glue` after each part that another one follows; a row's other columns are no parts."""
    flags = {"to": TensorProto.INT64}
    columns = g.add("Shape", [parts], "text/part_columns", start=1, end=2)
    columns = g.add("Squeeze", [columns], "text/column_count")
    column = g.add(
        "Range", [ONE, g.add("Add", [columns, ONE], "text/column_end"), ONE], "text/column"
    )
    counts = g.add(
        "Unsqueeze", [f"{PREFIX}/text/part_count", g.constant("text/last", [1])], "text/counts"
    )
    counts = g.add("Cast", [counts], "text/whole_counts", **flags)
    followed = g.add("Less", [column, counts], "text/is_followed")
    place = g.add("Cast", [followed], "text/glue_place", **flags)
    glues = g.add("Gather", [g.strings("text/glues", b"", glue), place], "text/glue")
    return g.add("StringConcat", [parts, glues], "text/glued")


def _marked_special_tokens(g: GraphWriter, text: str, tokens: Iterable[str]) -> str:
    """Put a byte that no text holds on each side of a special token; string [batch_size].

    `tokenizers` takes the leftmost match, and of those the longest. RE2 takes the leftmost, and of
    those the first of the alternatives, so the long ones go first.
    """
    ordered = sorted(tokens, key=lambda token: (-len(token), token))
    escaped = ("".join(map(_escaped, token)) for token in ordered)
    pattern = f"({'|'.join(escaped)})".encode()
    inputs = [
        text,
        g.strings("special/pattern", pattern),
        g.strings("special/marked", bytes([_OPEN]) + rb"\1" + bytes([_CLOSE])),
    ]
    return g.add("StringRegexReplace", inputs, "special/text", domain=EXTENSIONS)


def _escaped(character: str) -> str:
    """Return an ASCII character as RE2 reads it; a pattern that it can't read ends the process."""
    if character.isalnum():
        return character
    return "\\" + character if "!" <= character <= "~" else f"\\x{ord(character):02x}"


def _stream(g: GraphWriter, text: str) -> str:
    """text -> the bytes of all texts as numbers, each text with its end; int64 [byte + 3].

    A continuation byte is its 6 bits, any other byte is 64 more than itself, and _ROW_END_BYTE
    ends a text. Three ends too many make room for looking ahead.
    """
    inputs = [text, g.strings("bytes/every", b""), g.constant("bytes/skip_empty", [False], bool)]
    outputs = ("bytes/places", "bytes/texts", "bytes/shape")
    places = g.add("StringSplit", inputs, *outputs, domain=EXTENSIONS)
    keys = [bytes([byte]) for byte in range(1, 256)]
    values = [b & 0x3F if _CONTINUATION <= b < _LEAD else _FIRST_LEAD + b for b in range(1, 256)]
    # Keys as a tensor (ai.onnx.ml 4): as a plain attribute, tools take them for UTF-8 and fail.
    encoding = {
        "keys_tensor": string_tensor("keys", keys),
        "values_tensor": numpy_helper.from_array(np.array(values, np.int64), "values"),
        "default_tensor": numpy_helper.from_array(np.array([0], np.int64), "default"),
    }
    numbers = g.add("LabelEncoder", [TEXTS_OF_BYTES], "bytes/numbers", domain=ML, **encoding)
    row = g.add("Gather", [places, ZERO], "bytes/row", axis=1)
    count = g.add("Shape", [numbers], "bytes/count")
    order = g.add("Range", [ZERO, g.add("Squeeze", [count], "bytes/total"), ONE], "bytes/order")
    # Each text is moved on by one place for every text before it, which leaves room for the ends.
    place = g.add("Add", [order, row], "bytes/place")
    size = g.add("Add", [count, g.add("Shape", [text], "bytes/batch_size")], "bytes/size_used")
    size = g.add("Add", [size, g.constant("bytes/ahead", [3])], "bytes/size")
    end = numpy_helper.from_array(np.array([_ROW_END_BYTE], np.int64), "row_end")
    ends = g.add("ConstantOfShape", [size], "bytes/ends", value=end)
    return g.add("ScatterElements", [ends, place, numbers], "bytes/stream", axis=0)


def _lead_bytes() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each number of a first byte: its base, its weights, its shift.

    int64 [number], [place, number], [number]. The code point is the base plus the next three
    numbers, weighted. Bytes that begin nothing, and the end of a text, are U+FFFD here; the shift
    opens and closes special tokens.
    """
    base = np.full(_ROW_END_BYTE + 1, 0xFFFD, np.int64)
    weights = np.zeros((3, base.size), np.int64)
    shift = np.zeros(base.size, np.int64)
    base[_FIRST_LEAD : _FIRST_LEAD + 0x80] = np.arange(0x80)
    for first, last, bits, following in (
        (0xC0, 0xDF, 0x1F, (1, 0, 0)),
        (0xE0, 0xEF, 0x0F, (64, 1, 0)),
        (0xF0, 0xF7, 0x07, (4096, 64, 1)),
    ):
        for byte in range(first, last + 1):
            base[_FIRST_LEAD + byte] = (byte & bits) * following[0] * 64
            weights[:, _FIRST_LEAD + byte] = following
    base[_FIRST_LEAD + _OPEN] = points.SPECIAL_OPEN_POINT
    base[_FIRST_LEAD + _CLOSE] = points.SPECIAL_CLOSE_POINT
    shift[_FIRST_LEAD + _OPEN] = points.RAW_SHIFT
    shift[_FIRST_LEAD + _CLOSE] = -points.RAW_SHIFT
    return base, weights, shift


def _code_points(g: GraphWriter, stream: str) -> str:
    """bytes -> code points, shifted inside special tokens; int64 [1, character]."""
    base, weights, shift = _lead_bytes()
    limits = [g.constant("points/from", [0]), g.constant("points/to", [-3])]
    own = g.add("Slice", [stream, *limits], "points/bytes")
    first_lead = g.constant("points/first_lead", _FIRST_LEAD)
    leads = g.add("GreaterOrEqual", [own, first_lead], "points/is_lead")
    place = g.add("NonZero", [leads], "points/place")
    lead = g.add("Gather", [stream, place], "points/lead")
    ahead = g.constant("points/ahead", [[1], [2], [3]])
    following = g.add("Add", [place, ahead], "points/place_ahead")
    following = g.add("Gather", [stream, following], "points/following")
    axis = g.constant("points/axis", [0])
    flat = g.add("Squeeze", [lead, axis], "points/lead_flat")
    weights_of = g.constant("points/weights", weights)
    weight = g.add("Gather", [weights_of, flat], "points/weight", axis=1)
    low = g.add("Mul", [following, weight], "points/weighted")
    low = g.add("ReduceSum", [low, axis], "points/low", keepdims=1)
    high = g.add("Gather", [g.constant("points/base", base), lead], "points/high")
    point = g.add("Add", [high, low], "points/plain")
    change = g.add("Gather", [g.constant("points/shift", shift), lead], "points/shift_change")
    # Exclusive: the opening mark is still outside of its token, the closing one still inside.
    along = g.constant("points/along", 1)
    shifts = g.add("CumSum", [change, along], "points/shifts", exclusive=1)
    point = g.add("Add", [point, shifts], "points/shifted")
    # Bytes that are not UTF-8 may lead anywhere, but not out of the table or to the end of a text.
    last = points.ROW_END_POINT
    limits = [g.constant("points/least", 0), g.constant("points/most", last - 1)]
    point = g.add("Clip", [point, *limits], "points/in_table")
    end = g.constant("points/row_end_byte", _ROW_END_BYTE)
    is_end = g.add("Equal", [lead, end], "points/is_row_end")
    return g.add("Where", [is_end, g.constant("points/row_end", last), point], "points/all")
