"""The first half of a WordPiece graph: texts become one string of normalized words.

See wordpiece.py for the whole. What texts.py makes of texts becomes symbols, and those words; the
names of tensors begin with their stage.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from olive_build.families.graph_writer import EXTENSIONS, GraphWriter
from olive_build.tokenizers import code_points
from olive_build.tokenizers import wordpiece_tables as tables
from olive_build.tokenizers.texts import points_of_texts
from olive_build.tokenizers.wordpiece_spec import WordPieceSpec


def words_of_texts(g: GraphWriter, spec: WordPieceSpec, opset: int, prompt: str = "") -> str:
    """Write the stages from the input `text`, with `prompt` before each, to the words of all texts.

    The result is string [1]: words with exactly one space between, and after each text the word
    that stands for its end. Every character is one of a word of the vocabulary or a stand-in.
    """
    points = points_of_texts(g, spec.special_tokens, opset, prompt)
    characters = tables.character_tables(spec)
    return _words(g, _symbols(g, points, characters), characters)


def _symbols(g: GraphWriter, points: str, characters: tables.CharacterTables) -> str:
    """code points -> symbols, never two spaces in a row; int32 [symbol]."""
    block = g.add(
        "Div", [points, g.constant("symbols/block_size", code_points.BLOCK)], "symbols/block"
    )
    starts = g.constant("symbols/block_start", characters.block_start, np.int32)
    start = g.add("Gather", [starts, block], "symbols/start_int32")
    start = g.add("Cast", [start], "symbols/start", to=TensorProto.INT64)
    entry = g.add("Add", [start, points], "symbols/entry")
    classes = g.constant("symbols/classes", characters.classes, np.uint16)
    kind = g.add("Gather", [classes, entry], "symbols/class_uint16")
    kind = g.add("Cast", [kind], "symbols/class", to=TensorProto.INT32)
    table = g.constant("symbols/table", characters.symbols, np.int16)
    found = g.add("Gather", [table, kind], "symbols/table_rows")
    flat = g.add("Reshape", [found, g.constant("symbols/flat_shape", [-1])], "symbols/flat")
    real = g.add("Cast", [flat], "symbols/is_real", to=TensorProto.BOOL)
    symbols = g.add("Compress", [flat, real], "symbols/spaced_int16")
    symbols = g.add("Cast", [symbols], "symbols/spaced", to=TensorProto.INT32)
    # In the operator a space after a space, or in front of all, would be part of the next word.
    space = g.constant("symbols/space", tables.SPACE, np.int32)
    is_space = g.add("Equal", [symbols, space], "symbols/is_space")
    limits = [g.constant("symbols/from", [0]), g.constant("symbols/to", [-1])]
    before = g.add("Slice", [is_space, *limits], "symbols/is_space_but_last")
    front = g.constant("symbols/front_is_space", [True], bool)
    before = g.add("Concat", [front, before], "symbols/is_space_before", axis=0)
    double = g.add("And", [is_space, before], "symbols/is_double")
    single = g.add("Not", [double], "symbols/is_single")
    return g.add("Compress", [symbols, single], "symbols/all")


def _words(g: GraphWriter, symbols: str, characters: tables.CharacterTables) -> str:
    """symbols -> one string of all words; string [1]."""
    texts = g.strings("words/symbol_texts", *(text.encode() for text in characters.texts))
    pieces = g.add("Gather", [texts, symbols], "words/characters")
    inputs = [pieces, g.strings("words/no_glue", b""), g.constant("words/axis", [0])]
    return g.add("StringJoin", inputs, "words/all", domain=EXTENSIONS)
