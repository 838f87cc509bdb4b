"""Which kind a tokenizer is: read from its JSON, without anything heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olive_build.errors import StepError
from olive_build.tokenizers.byte_level_spec import ByteLevelSpec, read_byte_level
from olive_build.tokenizers.unigram_spec import UnigramSpec, read_unigram
from olive_build.tokenizers.wordpiece_spec import WordPieceSpec, read_spec

Spec = WordPieceSpec | ByteLevelSpec | UnigramSpec


def read_kind(tokenizer: Mapping[str, Any]) -> Spec:
    """Return what a parsed tokenizer.json says about its ids, as the type of its kind.

    Raises StepError, naming what it saw, for one of another kind or with a feature that its graph
    would not have.
    """
    model = tokenizer.get("model")
    kind = model.get("type") if isinstance(model, Mapping) else None
    if kind == "BPE":
        return read_byte_level(tokenizer)
    return read_unigram(tokenizer) if kind == "Unigram" else read_spec(tokenizer)


def why_no_graph(tokenizer: Mapping[str, Any]) -> str:
    """Return why a tokenizer has no graph, "" where it has one."""
    try:
        read_kind(tokenizer)
    except StepError as error:
        return f"{error.what}: {error.why}"
    return ""
