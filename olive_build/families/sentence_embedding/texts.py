"""Texts in a .jsonl file: one object with `text` a line."""

from __future__ import annotations

from pathlib import Path

from olive_build.errors import StepError
from olive_build.untrusted import followed, parse_json, read_text

FEWEST = 2
MOST_BYTES = 1 << 30


def read_texts(path: Path, *, what: str = "the proof's data") -> list[str]:
    """Return the texts of the file. Raises StepError with file and line for bad data.

    `what` names the data in messages.
    """
    texts: list[str] = []
    try:
        lines = read_text(followed(path), MOST_BYTES).splitlines()
    except OSError as error:
        raise StepError(f"{what} cannot be read", where=str(path), why=str(error)) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = parse_json(line)["text"]
        except (OSError, KeyError, TypeError) as error:
            text = error
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
