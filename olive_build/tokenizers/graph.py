"""The graph of a tokenizer, whichever kind it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from olive_build.tokenizers.byte_level import byte_level_graph
from olive_build.tokenizers.byte_level_spec import ByteLevelSpec
from olive_build.tokenizers.kinds import read_kind
from olive_build.tokenizers.rows import NEVER, check_numbers
from olive_build.tokenizers.unigram import unigram_graph
from olive_build.tokenizers.wordpiece import wordpiece_graph
from olive_build.tokenizers.wordpiece_spec import WordPieceSpec


def tokenizer_graph(
    tokenizer: Mapping[str, Any], *, max_length: int | None, opset: int, prompt: str = ""
) -> onnx.ModelProto:
    """Return a model that turns texts into ids as the `tokenizers` library does.

    Input `text`: string [batch_size]. Outputs `input_ids`, `attention_mask` and `token_type_ids`:
    int64 [batch_size, sequence_length], where sequence_length is that of the longest text of the
    batch and at most `max_length`, which counts the tokens around a text; None cuts nothing. Each
    text has `prompt` before it. Added tokens typed into a text are those tokens. Equal arguments
    give equal bytes.

    Text is UTF-8, or the modified UTF-8 of Java's JNI. Other bytes give some ids, never an error or
    another number of rows. A text with U+0000 needs opset NUL_OPSET; with less it ends there.

    `tokenizer` is a parsed tokenizer.json; its own maximum length and kind of padding are ignored.
    Raises StepError for a tokenizer that has no equal graph, naming what it saw, and for a
    `max_length` or `opset` that is too small. The `tokenizers` package must be installed: it is
    asked what it does to characters.
    """
    spec = read_kind(tokenizer)
    if isinstance(spec, WordPieceSpec):
        return wordpiece_graph(tokenizer, max_length=max_length, opset=opset, prompt=prompt)
    longest = NEVER if max_length is None else max_length
    check_numbers(longest, opset, spec.frame.count)
    if isinstance(spec, ByteLevelSpec):
        return byte_level_graph(spec, max_length=longest, opset=opset, prompt=prompt)
    return unigram_graph(spec, max_length=longest, opset=opset, prompt=prompt)
