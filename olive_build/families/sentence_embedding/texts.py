"""Texts in a .jsonl file: one object with `text` a line."""

from __future__ import annotations

import json
from pathlib import Path

from olive_build.errors import StepError

FEWEST = 2


def read_texts(path: Path, *, what: str = "the proof's data") -> list[str]:
    """Return the texts of the file. Raises StepError with file and line for bad data.

    `what` names the data in messages.
    """
    texts: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(f"{what} cannot be read", where=str(path), why=str(error)) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            text = error
        if isinstance(text, str) and not _is_unicode(text):
            text = ValueError("it has half of a surrogate pair, which is no character")
        if not isinstance(text, str) or not text.strip():
            raise StepError(
                f"a line of {what} is no text",
                where=f"{path}:{number}",
                why=str(text) or "the text is empty",
                hint='each line is an object like {"text": "A sentence."}',
            )
        texts.append(text)
    if len(texts) < FEWEST:
        raise StepError(
            f"{what} holds {len(texts)} texts",
            where=str(path),
            why="rank correlation needs at least two; a verdict needs 200 to mean something",
        )
    return texts


def _is_unicode(text: str) -> bool:
    """Say whether a text can be written; JSON can hold halves of characters, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
