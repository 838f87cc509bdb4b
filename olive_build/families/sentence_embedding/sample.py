"""A text of a wanted length, for timing: any tokenizer, any language."""

from __future__ import annotations

from pathlib import Path

from olive_build.errors import StepError

TRIES = 2000


def text_of(folder: Path, tokens: int) -> str:
    """Return a text of exactly `tokens` tokens, special ones included, for the tokenizer there.

    One word of its own vocabulary is repeated. Raises StepError when none of many will do.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    special = len(tokenizer.encode("").ids)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    words = [word for word, _ in vocabulary if word.isalpha() and len(word) > 1] or ["a"]
    # Rare words stand last in most vocabularies, letters and affixes first; begin in the middle.
    ordered = words[len(words) // 3 :] + words[: len(words) // 3]
    for word in ordered[:TRIES]:
        text = " ".join([word] * (tokens - special))
        if len(tokenizer.encode(text).ids) == tokens:
            return text
    raise StepError(
        f"no text of exactly {tokens} tokens was found for timing",
        why=f"none of {min(TRIES, len(ordered))} words of the vocabulary stays one token in a text",
        hint="write `verify: {timing: false}` for this model",
    )
