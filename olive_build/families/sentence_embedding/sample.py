"""A text of a wanted length, for timing: any tokenizer, any language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError
from olive_build.families.library_tokenizer import library_tokenizer
from olive_build.families.sentence_embedding.spec import (
    TOKENIZER,
    SentenceEmbeddingFacts,
    inspect,
)

TRIES = 2000


def text_of(folder: Path, tokens: int) -> str:
    """Return a text of exactly `tokens` tokens, special ones included, for the tokenizer there.

    One word of its own vocabulary is repeated. Raises StepError when none of many will do.
    """
    facts = inspect(folder)
    tokenizer = _tokenizer(folder, facts)
    prompt = facts.settings.prompt
    special = len(tokenizer.encode(prompt).ids)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    words = [word for word, _ in vocabulary if word.isalpha() and len(word) > 1] or ["a"]
    # Rare words stand last in most vocabularies, letters and affixes first; begin in the middle.
    ordered = words[len(words) // 3 :] + words[: len(words) // 3]
    for word in ordered[:TRIES]:
        text = " ".join([word] * (tokens - special))
        if len(tokenizer.encode(prompt + text).ids) == tokens:
            return text
    raise StepError(
        f"no text of exactly {tokens} tokens was found for timing",
        why=f"none of {min(TRIES, len(ordered))} words of the vocabulary stays one token in a text",
        hint="write `verify: {timing: false}` for this model",
    )


def _tokenizer(folder: Path, facts: SentenceEmbeddingFacts) -> Any:
    """Return the tokenizer of the file where there is one: asking the library takes seconds.

    Timing fails where the library finds another number of tokens in the text.
    """
    from tokenizers import Tokenizer

    path = folder / facts.transformer / TOKENIZER
    if not path.is_file():
        return library_tokenizer(folder, facts.tokenizer)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def feeds(inputs: Sequence[Any], text: str, size: int, batch: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a session with these `inputs` is given: `text` of `size` tokens `batch` times."""
    shape = (batch, size)
    known: dict[str, npt.NDArray[Any]] = {
        "text": np.array([text] * batch, dtype=object),
        "input_ids": np.ones(shape, np.int64),  # every vocabulary has it
        "attention_mask": np.ones(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
    }
    return {value.name: known[value.name] for value in inputs}
