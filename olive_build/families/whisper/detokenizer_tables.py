"""The bytes of every token of a byte-level tokenizer, as transformers decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError
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
