"""Texts in a .jsonl file, one object with `text` a line; and those that each proof adds to them."""

from __future__ import annotations

import json
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
            texts.append(_text(line))
        except (OSError, ValueError) as error:
            raise StepError(
                f"a line of {what} is no text",
                where=f"{path}:{number}",
                why=str(error),
                hint='each line is an object like {"text": "A sentence."}',
            ) from error
    if len(texts) < FEWEST:
        raise StepError(
            f"{what} holds {len(texts)} texts",
            where=str(path),
            why="rank correlation needs at least two; a verdict needs 200 to mean something",
        )
    return texts


def _text(line: str) -> str:
    """Return the text of a line. Raises OSError for what is no JSON, ValueError without a text."""
    entry = parse_json(line)
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    if "text" not in entry:
        raise ValueError("it has no key `text`")
    text = entry["text"]
    if not isinstance(text, str):
        raise ValueError(f"its `text` is {json.dumps(text)[:60]}")
    if not text.strip():
        raise ValueError("its `text` is empty")
    return text


STRANGE = (
    "",
    " \t\n ",
    "NEW HOUSE, Old River",
    "naïve café ÀÉÎõü, Ångström; İstanbul, straße",
    "Привет, й и ё; 東京の天気 한국어 العربية",
    "3,14 + (x_1 - 2)^2 = 42%?! https://example.org/a?b=c#d",
    "[CLS] typed [SEP] by [MASK] hand </s> <s> <mask> [PAD]",
    "emoji 😀👩\u200d💻 and e\u0301 combined",
)
WORD = "the people of this city were happy to see that new house near the old river "
# No text is made longer: a model that reads 8,192 tokens is believed to cut there.
LONGEST = 1_200


def edge_texts(max_length: int | None) -> list[str]:
    """Return strange texts, and one that is longer than the model reads where that is feasible."""
    enough = min(LONGEST, (max_length or 0) + 32)
    return [*STRANGE, WORD * (enough // len(WORD.split()) + 1)]
