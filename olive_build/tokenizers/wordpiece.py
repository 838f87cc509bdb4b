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

from olive_build.families.graph_writer import EXTENSIONS, GraphWriter
from olive_build.tokenizers.rows import (
    NEVER,
    check_numbers,
    finished,
    tokenizer_writer,
    write_rows,
)
from olive_build.tokenizers.sections import Frame
from olive_build.tokenizers.texts import ONE, ZERO
from olive_build.tokenizers.wordpiece_spec import WordPieceSpec, read_spec
from olive_build.tokenizers.wordpiece_tables import WordLines, word_lines
from olive_build.tokenizers.wordpiece_text import words_of_texts


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
    check_numbers(max_length, opset, around=2)
    spec = read_spec(tokenizer_json)
    words = word_lines(spec)
    graph = tokenizer_writer()
    pieces = _pieces(graph, words_of_texts(graph, spec, opset, prompt), spec, words)
    ids = _without_void_pieces(graph, pieces, spec, words)
    frame = Frame(spec.begin_id, spec.end_id, spec.pad_id)
    write_rows(graph, ids, words.row_end, frame, max_length)
    return finished(graph, "wordpiece_tokenizer", opset)


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
