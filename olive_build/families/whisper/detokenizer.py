"""Token ids to text as a graph, equal to transformers' batch_decode(skip_special_tokens=True).

    ids -> where each token's bytes go -> rows of bytes -> which bytes are characters -> strings

BpeDecoder of onnxruntime-extensions is not used: what it makes of a character that was cut off is
no UTF-8, and Python then raises an error instead of giving the text. Here every byte that is part
of no character becomes U+FFFD as transformers has it, so that no ids make an error.

One thing is different on purpose: U+0000 is left out. Operators of onnxruntime-extensions and many
clients, Java's among them, take a string to end there.

Timestamps are tokens with a text, which transformers takes out of the whole text at the end; so
does this, for the rare texts that spell one, and for characters that one cuts in two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from olive_build.errors import StepError
from olive_build.families.graph_writer import EXTENSIONS, GraphWriter, tensor_info
from olive_build.families.whisper.detokenizer_utf8 import LONGEST, pieces_of_bytes
from olive_build.families.whisper.spec import WhisperFacts

BYTE_LEVEL = "ByteLevel"


@dataclass(frozen=True)
class TokenBytes:
    """All tokens' bytes in one array.

    `texts`: uint8 [byte], the first of them 0 and no token's. `starts`: int32 [entry], where the
    bytes of an entry begin; those of the next begin where they end. Entry 1 + id is a token; the
    first entry and the last but one are empty, for ids that are no token's.
    """

    texts: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int32]


def token_bytes(folder: Path, facts: WhisperFacts) -> TokenBytes:
    """Return the bytes of all tokens of the tokenizer in `folder`; special tokens have none.

    Raises StepError when the tokenizer cannot be loaded or is not byte-level.
    """
    backend = _backend(folder)
    special = {
        index for index, token in backend.get_added_tokens_decoder().items() if token.special
    }
    alphabet = {character: byte for byte, character in _alphabet()}
    texts = [b""]
    for index in range(max(facts.vocabulary, backend.get_vocab_size(with_added_tokens=True))):
        token = None if index in special else backend.id_to_token(index)
        texts.append(b"" if token is None else _bytes(token, alphabet))
    texts.append(b"")
    starts = 1 + np.cumsum([0, *map(len, texts)])
    return TokenBytes(np.frombuffer(b"\0" + b"".join(texts), np.uint8), starts.astype(np.int32))


def _backend(folder: Path) -> Any:
    """The `tokenizers` object that transformers decodes with."""
    from transformers import AutoTokenizer

    try:
        backend = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise StepError(
            "the tokenizer cannot be loaded", where=str(folder), why=str(error)
        ) from error
    if type(backend.decoder).__name__ != BYTE_LEVEL:
        raise StepError(
            "the tokenizer is not byte-level",
            where=str(folder),
            why=f"its decoder is {type(backend.decoder).__name__}",
            hint="Whisper's tokenizer.json has the decoder ByteLevel",
        )
    return backend


def _bytes(token: str, alphabet: dict[str, int]) -> bytes:
    """A token with a character that stands for no byte is its own text."""
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return token.encode()


def _alphabet() -> Iterator[tuple[int, str]]:
    """GPT-2's character for each byte: itself where it can be seen, else the next from U+0100."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    hidden = [byte for byte in range(256) if byte not in set(seen)]
    yield from ((byte, chr(byte)) for byte in seen)
    yield from ((byte, chr(256 + place)) for place, byte in enumerate(hidden))


SEQUENCES, TEXT = "sequences", "str"
MIN_OPSET = 17
# Python's \d is any script's digit, RE2's is not.
TIMESTAMP = r"<\|\p{Nd}+\.\p{Nd}+\|>"


def detokenizer_graph(folder: Path, facts: WhisperFacts, opset: int) -> onnx.ModelProto:
    """Return a model that turns generated tokens into text.

    Input `sequences`: int32 [1, num_return_sequences, length], token ids with the prompt, each row
    filled up with any special token. Output `str`: string [1, num_return_sequences], valid UTF-8
    for any ids; ids that the tokenizer in `folder` does not have are no text. Equal arguments give
    equal bytes. Raises StepError for a tokenizer that is not byte-level and for an opset that is
    too old.
    """
    if opset < MIN_OPSET:
        raise StepError(
            f"opset {opset} is too old for the graph of the text",
            where="opset",
            why="it is not tested below that of the decoder's search",
            hint=f"give {MIN_OPSET} or more",
        )
    g = GraphWriter("text")
    rows = _rows_of_bytes(g, SEQUENCES, token_bytes(folder, facts))
    glue = [g.strings("no_glue", b""), g.constant("glue_axis", [1])]
    joined = g.add("StringJoin", [pieces_of_bytes(g, rows), *glue], "joined", domain=EXTENSIONS)
    pattern, nothing = g.strings("timestamp", TIMESTAMP.encode()), g.strings("nothing", b"")
    text = g.add("StringRegexReplace", [joined, pattern, nothing], "plain", domain=EXTENSIONS)
    g.output("Unsqueeze", [text, g.constant("batch_axis", [0])], TEXT)
    row, length = "num_return_sequences", "length"
    given = tensor_info(SEQUENCES, TensorProto.INT32, [1, row, length])
    found = tensor_info(TEXT, TensorProto.STRING, [1, row])
    return g.model("whisper_text", [given], [found], {"": opset, EXTENSIONS: 1})


def _rows_of_bytes(g: GraphWriter, sequences: str, tokens: TokenBytes) -> str:
    """Token ids -> the bytes of their texts; int64 [row, width].

    After a row's bytes come zeros, at least as many as pieces_of_bytes needs.
    """
    zero, step = g.constant("zero", 0), g.constant("step", 1)
    count, first = _places_in_table(g, sequences, tokens)
    own = g.add("ReduceSum", [count, g.constant("token_axis", [1])], "row_bytes", keepdims=1)
    longest = g.add("ReduceMax", [own], "longest_row", keepdims=0)
    width = g.add("Add", [longest, g.constant("zeros_behind", LONGEST)], "width")
    rows = g.add("Gather", [g.add("Shape", [own], "rows_and_one"), zero], "rows")
    size = g.add("Mul", [rows, width], "size")
    place = g.add("Range", [zero, size, step], "place")
    row = g.add("Mul", [g.add("Range", [zero, rows, step], "row"), width], "row_start_flat")
    row = g.add("Unsqueeze", [row, g.constant("row_axis", [1])], "row_start")
    shift = _shift_of_place(g, count, first, row, size)
    address = g.add("Add", [shift, place], "address")
    column = g.add("Reshape", [width, g.constant("as_row", [1])], "width_as_row")
    shape = g.add("Concat", [g.constant("any_rows", [-1]), column], "shape_of_rows", axis=0)
    address = g.add("Reshape", [address, shape], "address_by_row")
    column = g.add("Range", [zero, width, step], "column")
    inside = g.add("Less", [column, own], "is_inside")
    # The table's first byte is zero and no token's.
    address = g.add("Where", [inside, address, zero], "safe_address")
    found = g.add("Gather", [g.constant("bytes", tokens.texts, np.uint8), address], "raw_rows")
    return g.add("Cast", [found], "rows_of_bytes", to=TensorProto.INT64)


def _places_in_table(g: GraphWriter, sequences: str, tokens: TokenBytes) -> tuple[str, str]:
    """How many bytes each token has, and where they start; int64 [row, length] each."""
    ids = g.add("Squeeze", [sequences, g.constant("first_axis", [0])], "ids_int32")
    ids = g.add("Cast", [ids], "any_ids", to=TensorProto.INT64)
    one = g.constant("one", 1)
    entry = g.add("Add", [ids, one], "any_entry")
    # The first entry and the last are for ids that no token has.
    limits = [g.constant("first_entry", 0), g.constant("last_entry", len(tokens.starts) - 2)]
    entry = g.add("Clip", [entry, *limits], "entry")
    following = g.add("Add", [entry, one], "next_entry")
    starts = g.constant("starts", tokens.starts, np.int32)
    first, end = (
        g.add("Gather", [starts, place], name)
        for name, place in (("start_int32", entry), ("end_int32", following))
    )
    first = g.add("Cast", [first], "start", to=TensorProto.INT64)
    end = g.add("Cast", [end], "end", to=TensorProto.INT64)
    return g.add("Sub", [end, first], "count"), first


def _shift_of_place(g: GraphWriter, count: str, first: str, row: str, size: str) -> str:
    """How far each place in the rows lies from its byte in the table; int64 [rows * width].

    The place at which a token starts is marked, and the marks are counted: the sum says of which
    token a place is. Tokens without text have no mark.
    """
    zero, flat = g.constant("zero", 0), g.constant("flat", [-1])
    before = g.add("CumSum", [count, g.constant("along_row", 1)], "start_in_row", exclusive=1)
    start = g.add("Add", [before, row], "token_place")
    shift = g.add("Sub", [first, start], "shift")
    has_text = g.add("Greater", [count, zero], "has_text_by_row")
    has_text = g.add("Reshape", [has_text, flat], "has_text")
    start = g.add("Reshape", [start, flat], "start_flat")
    shift = g.add("Reshape", [shift, flat], "shift_flat")
    starts = g.add("Compress", [start, has_text], "starts_with_text", axis=0)
    shifts = g.add("Compress", [shift, has_text], "shifts_with_text", axis=0)
    one, none = (helper.make_tensor("value", TensorProto.INT64, [1], [value]) for value in (1, 0))
    size = g.add("Reshape", [size, g.constant("size_shape", [1])], "size_as_row")
    empty = g.add("ConstantOfShape", [size], "no_marks", value=none)
    marks = g.add("Shape", [starts], "mark_count")
    marks = g.add("ConstantOfShape", [marks], "marks", value=one)
    marked = g.add("ScatterElements", [empty, starts, marks], "marked", axis=0)
    token = g.add("CumSum", [marked, zero], "token_from_one")
    # The first of these is for places before any token.
    shifts = g.add("Concat", [g.constant("no_shift", [0]), shifts], "shifts_from_one", axis=0)
    return g.add("Gather", [shifts, token], "shift_of_place")
