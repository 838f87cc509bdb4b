"""Texts as the encoder's inputs, for quantizers. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.families.library_tokenizer import library_tokenizer
from olive_build.families.sentence_embedding.spec import inspect
from olive_build.families.sentence_embedding.texts import read_texts


def calibration_feeds(folder: Path, data: Path) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield the exported graph's inputs for each text of `data`: int64 [1, tokens], unpadded.

    Raises StepError for bad data.
    """
    facts = inspect(folder)
    tokenizer = library_tokenizer(folder, facts.tokenizer)
    tokenizer.no_padding()
    if facts.max_length is not None:
        side = "left" if facts.settings.cut_at_left else "right"
        tokenizer.enable_truncation(facts.max_length, direction=side)
    for text in read_texts(data, what="the calibration data"):
        ids = np.array([tokenizer.encode(facts.settings.prompt + text).ids], np.int64)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        yield {name: inputs[name] for name in facts.inputs}
