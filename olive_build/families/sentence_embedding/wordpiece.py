"""A BERT WordPiece tokenizer as an ONNX graph: strings in, ids out, equal to `tokenizers`.

The graph needs onnxruntime and onnxruntime-extensions, nothing else. It goes like this:

    text -> bytes -> code points -> symbols -> one string of words -> ids -> rows

Text becomes numbers as early as possible. All that BERT does to characters is a table
(wordpiece_tables.py), and a table lookup in numbers costs the same for every script. Only the
greedy search for pieces is left to the BertTokenizer operator, for the whole batch at once, with
its own normalizing off; what it does differently from `tokenizers` (it takes one string, and it
keeps the pieces found before a word turns out to be unknown) is put right on the ids.

Semantics of the operators are those of onnxruntime-extensions operators/text/string_split.cc,
string_join.cc, re2_strings/string_regex_replace.cc and operators/tokenizer/bert_tokenizer.cc.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from olive_build.errors import StepError
from olive_build.families.graph_writer import EXTENSIONS, GraphWriter, tensor_info
from olive_build.families.sentence_embedding.wordpiece_spec import WordPieceSpec, read_spec
from olive_build.families.sentence_embedding.wordpiece_tables import WordLines, word_lines
from olive_build.families.sentence_embedding.wordpiece_text import (
    ML,
    NUL_OPSET,
    ONE,
    PREFIX,
    TEXT,
    TEXTS_OF_BYTES,
    ZERO,
    words_of_texts,
)

ML_OPSET = 4
MIN_OPSET = 13
"""ReduceSum with axes as an input is the newest thing that every graph needs."""

NEVER = 2**31 - 1
"""More tokens than any text has."""

OUTPUTS = ("input_ids", "attention_mask", "token_type_ids")


def wordpiece_graph(
    tokenizer_json: Mapping[str, Any], *, max_length: int | None, opset: int, prompt: str = ""
) -> onnx.ModelProto:
    """Return a model that turns texts into the inputs of a BERT model, as `tokenizers` does.

    Input `text`: string [batch_size]. Outputs `input_ids`, `attention_mask` and `token_type_ids`:
    int64 [batch_size, sequence_length], where sequence_length is that of the longest text of the
    batch and at most `max_length`, which counts the token at either end; None cuts nothing. Each
    text has `prompt` before it. Special tokens typed into a text are special tokens. Equal
    arguments give equal bytes.

    Text is UTF-8. Other bytes give some ids, never an error or another number of rows; surrogate
    pairs (the modified UTF-8 of Java's JNI) count as one character of no word, so emoji are right
    and only rare scripts are not. A text with U+0000 needs opset NUL_OPSET.

    `tokenizer_json` is the parsed tokenizer.json; its own maximum length and kind of padding are
    ignored. Raises StepError for a tokenizer that is not BERT WordPiece or has a feature that is
    not reproduced, naming what it saw, and for a `max_length` or `opset` that is too small. The
    `tokenizers` package must be installed: it is asked what its normalizer does.
    """
    max_length = NEVER if max_length is None else max_length
    _check_numbers(max_length, opset)
    spec = read_spec(tokenizer_json)
    words = word_lines(spec)
    # An empty domain is written out: the files of before have it.
    graph = GraphWriter(PREFIX, domain="")
    graph.constant("zero", 0)
    graph.constant("one", 1)
    pieces = _pieces(graph, words_of_texts(graph, spec, opset, prompt), spec, words)
    ids = _without_void_pieces(graph, pieces, spec, words)
    ends, before = _row_limits(graph, ids, words)
    _outputs(graph, ids, ends, before, spec, max_length)
    return _model(graph, opset)


def _check_numbers(max_length: int, opset: int) -> None:
    if max_length < 3:
        raise StepError(
            f"max_length {max_length} leaves no room for text",
            where="max_length",
            why="one token at either end is part of it",
            hint="give 3 or more; the model's own limit is usual",
        )
    if opset < MIN_OPSET:
        raise StepError(
            f"opset {opset} is too old for a tokenizer graph",
            where="opset",
            why=f"it uses operators as they are from opset {MIN_OPSET} on",
            hint=f"give {MIN_OPSET} or more, {NUL_OPSET} for texts that may hold U+0000",
        )


def _pieces(g: GraphWriter, joined: str, spec: WordPieceSpec, words: WordLines) -> str:
    """words -> the lines of all pieces in one row, each text followed by words.row_end.

    int64 [piece]. The operator puts its cls_token in front and its sep_token at the end. The first
    is made padding, which the rows need at a place of their own; the last is of no use.
    """
    tokens = dict.fromkeys(("unk_token", "sep_token", "mask_token"), spec.unknown)
    tokens |= dict.fromkeys(("cls_token", "pad_token"), spec.pad_token)
    switches = ("do_lower_case", "do_basic_tokenize", "tokenize_chinese_chars", "strip_accents")
    return g.add(
        "BertTokenizer",
        [joined],
        "pieces/all",
        "pieces/types",
        "pieces/mask",
        domain=EXTENSIONS,
        vocab_file="\n".join(words.lines),
        suffix_indicator=spec.prefix,
        **dict.fromkeys(switches, 0),
        **tokens,
    )


def _without_void_pieces(g: GraphWriter, pieces: str, spec: WordPieceSpec, words: WordLines) -> str:
    """pieces -> ids, where a word with a piece that does not exist is the unknown token only."""
    starts_word = g.constant("ids/line_starts_word", words.starts_word, bool)
    start = g.add("Gather", [starts_word, pieces], "ids/is_start")
    step = g.add("Cast", [start], "ids/start_step", to=TensorProto.INT64)
    word = g.add("CumSum", [step, ZERO], "ids/word")
    first_void = g.constant("ids/first_void", words.first_void)
    void = g.add("GreaterOrEqual", [pieces, first_void], "ids/is_void")
    void_words = g.add("Compress", [word, void], "ids/void_words")
    yes = g.add("Compress", [void, void], "ids/yes")
    size = g.add("Add", [g.add("Shape", [pieces], "ids/piece_count"), ONE], "ids/most_words")
    no = numpy_helper.from_array(np.array([False]), "no")
    flags = g.add("ConstantOfShape", [size], "ids/no_word_unknown", value=no)
    flags = g.add("ScatterElements", [flags, void_words, yes], "ids/word_unknown", axis=0)
    unknown = g.add("Gather", [flags, word], "ids/is_unknown")
    unknown_id = g.constant("ids/unknown_id", spec.vocabulary[spec.unknown])
    ids = g.add("Where", [unknown, unknown_id, pieces], "ids/of_pieces")
    known = g.add("Not", [unknown], "ids/is_known")
    # An unknown word keeps its first piece, which the line above has made the unknown token.
    keep = g.add("Or", [start, known], "ids/is_kept")
    return g.add("Compress", [ids, keep], "ids/all")


def _row_limits(g: GraphWriter, ids: str, words: WordLines) -> tuple[str, str]:
    """ids -> where in them each text ends, and where the one before it did; int64 [batch_size, 1].

    Before the first text is the padding at place 0.
    """
    end = g.add("Equal", [ids, g.constant("rows/row_end", words.row_end)], "rows/is_end")
    ends = g.add("NonZero", [end], "rows/ends_flat")
    ends = g.add("Reshape", [ends, g.constant("rows/column_shape", [-1, 1])], "rows/ends")
    limits = [g.constant("rows/from", [0]), g.constant("rows/to", [-1])]
    others = g.add("Slice", [ends, *limits], "rows/ends_but_last")
    first = g.constant("rows/before_first", [[0]])
    before = g.add("Concat", [first, others], "rows/before", axis=0)
    return ends, before


def _outputs(
    g: GraphWriter, ids: str, ends: str, before: str, spec: WordPieceSpec, max_length: int
) -> None:
    """Write the three outputs, int64 [batch_size, sequence_length]."""
    # The distance from one end to the next is the place of the closing token, if all fits.
    close = g.add("Sub", [ends, before], "rows/full_close")
    close = g.add("Min", [close, g.constant("rows/last_close", max_length - 1)], "rows/close")
    longest = g.add("ReduceMax", [close], "rows/longest_close", keepdims=0)
    width = g.add("Add", [longest, ONE], "rows/sequence_length")
    column = g.add("Range", [ZERO, width, ONE], "rows/column")
    inside = g.add("LessOrEqual", [column, close], "rows/is_inside")
    place = g.add("Add", [before, column], "rows/place_if_inside")
    place = g.add("Where", [inside, place, ZERO], "rows/place")
    found = g.add("Gather", [ids, place], "rows/padded")
    is_close = g.add("Equal", [column, close], "rows/is_close")
    end_id = g.constant("rows/end_id", spec.end_id)
    found = g.add("Where", [is_close, end_id, found], "rows/closed")
    is_open = g.add("Equal", [column, ZERO], "rows/is_open")
    begin_id = g.constant("rows/begin_id", spec.begin_id)
    g.output("Where", [is_open, begin_id, found], "input_ids")
    g.output("Cast", [inside], "attention_mask", to=TensorProto.INT64)
    g.output("Sub", [place, place], "token_type_ids")


def _model(g: GraphWriter, opset: int) -> onnx.ModelProto:
    shape = ["batch_size", "sequence_length"]
    opsets = {"": opset, ML: ML_OPSET, EXTENSIONS: 1}
    # The type of a custom operator's output: without it the shape inference of onnx, which the
    # mobile tools run, reads a null pointer at the LabelEncoder and dies.
    known = [tensor_info(TEXTS_OF_BYTES, TensorProto.STRING, ["bytes"])]
    given = [tensor_info(TEXT, TensorProto.STRING, shape[:1])]
    made = [tensor_info(name, TensorProto.INT64, shape) for name in OUTPUTS]
    return g.model("wordpiece_tokenizer", given, made, opsets, known)
