"""Texts as the graph's inputs, for quantizers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.families.causal_lm.names import (
    ATTENTION_MASK,
    INPUT_IDS,
    POSITION_IDS,
    past_names,
)
from olive_build.families.causal_lm.spec import inspect
from olive_build.families.causal_lm.torch_sizes import sizes_in
from olive_build.families.library_tokenizer import library_tokenizer
from olive_build.families.sentence_embedding.texts import read_texts

# More tells a quantizer nothing new, and attention's values grow with its square.
LONGEST = 256


def calibration_feeds(folder: Path, data: Path) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield the exported graph's inputs for each text of `data`, read at once after no others.

    Tokens are int64 [1, tokens], unpadded and cut at 256; caches are empty. Raises StepError for
    bad data.
    """
    facts, sizes = inspect(folder), sizes_in(folder)
    tokenizer = library_tokenizer(folder, facts.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(facts.positions or LONGEST, LONGEST))
    empty = {
        name: np.zeros((1, heads, 0, size), np.float32)
        for name, (heads, size) in zip(past_names(sizes.layers), sizes.caches, strict=True)
    }
    for text in read_texts(data, what="the calibration data"):
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        tokens = {INPUT_IDS: ids, ATTENTION_MASK: np.ones_like(ids)}
        if sizes.positions:
            tokens[POSITION_IDS] = np.arange(ids.shape[1])[None]
        yield tokens | empty
