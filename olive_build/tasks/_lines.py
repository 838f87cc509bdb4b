"""Lines of a .jsonl file whose fields are texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from olive_build.errors import StepError
from olive_build.untrusted import followed, parse_json, read_text

MOST_BYTES = 1 << 30


def read_lines(path: Path, fields: Sequence[str]) -> list[Any]:
    """Return the texts of a file: a text a line where there is one field, else a dict of them.

    Raises StepError with file and line for bad data.
    """
    try:
        lines = read_text(followed(path), MOST_BYTES).splitlines()
    except OSError as error:
        raise StepError("the data cannot be read", where=str(path), why=str(error)) from error
    found = [
        _fields(path, number, line, fields) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not found:
        raise StepError("the data holds no text", where=str(path))
    return found


def _fields(path: Path, number: int, line: str, fields: Sequence[str]) -> Any:
    try:
        entry = parse_json(line)
        if not isinstance(entry, dict):
            raise ValueError("it is no object")
        texts = {}
        for name in fields:
            text = entry.get(name)
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"its `{name}` is no text")
            texts[name] = text
    except (OSError, ValueError) as error:
        wanted = ", ".join(f'"{name}": ...' for name in fields)
        raise StepError(
            "a line of the data is none of this task",
            where=f"{path}:{number}",
            why=str(error),
            hint=f"each line is an object like {{{wanted}}}",
        ) from error
    return texts[fields[0]] if len(fields) == 1 else texts
