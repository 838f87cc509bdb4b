"""Texts that a model learns from, as tokens. numpy, and the `tokenizers` library when it is called.

DATA/<class>/*.txt     a text a file
DATA/labels.csv        or a table of `file,label`
DATA/*.jsonl           or {"text": ..., "label": ...} a line; DATA may be such a file itself
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import UsageError
from olive_build.families.labelled_data import (
    Kind,
    Labelled,
    LabelledExamples,
    find_files,
    require_data,
)
from olive_build.families.labelled_targets import targets_of
from olive_build.untrusted import followed, parse_json, read_text

MOST_BYTES = 1 << 30
LINES = ".jsonl"
FILES = Kind("texts", (".txt",), "save it as plain text (.txt)")
HINT = 'a line is {"text": "a text", "label": "its class"}'


def read_examples(
    data: Path, described: Mapping[str, Any], bundle: Path, labels: Sequence[str], loss: str
) -> LabelledExamples:
    """Return the texts at `data` as tokens [examples, tokens], with their targets.

    Texts are cut at the bundle's length, and filled up to it or to the longest one. Raises
    UsageError for what cannot be learned from.
    """
    found = list(_found(data, loss))
    for example in found:
        if not example.content.strip():
            raise UsageError("a text is empty", where=example.where)
    targets = targets_of(found, labels, loss, data)
    inputs = encode([example.content for example in found], described, bundle)
    return LabelledExamples(inputs, targets, tuple(example.where for example in found))


def encode(
    texts: Sequence[str], described: Mapping[str, Any], folder: Path
) -> dict[str, npt.NDArray[np.int64]]:
    """Return `input_ids` and `attention_mask` [texts, tokens] by the tokenizer in `folder`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / described["tokenizer"]))
    longest = int(described["longest"])
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    rows = [encoded.ids for encoded in tokenizer.encode_batch(list(texts))]
    length = longest if described["fixed"] else max(map(len, rows))
    ids = np.full((len(rows), length), int(described["pad"]), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    return {"input_ids": ids, "attention_mask": mask}


def _found(data: Path, loss: str) -> Iterator[Labelled[str]]:
    require_data(data)
    lines = sorted(data.glob(f"[!.]*{LINES}")) if data.is_dir() else [data]
    for path in lines:
        yield from _of_lines(path)
    if not lines:
        for example in find_files(data, FILES, loss):
            text = _read(example.content)
            yield Labelled(example.where, example.label, text)


def _read(path: Path) -> str:
    try:
        return read_text(followed(path), MOST_BYTES)
    except OSError as error:
        raise UsageError(
            "a text cannot be read", where=str(path), why=str(error), hint="save it as UTF-8"
        ) from error


def _of_lines(path: Path) -> Iterator[Labelled[str]]:
    # Only "\n" ends a line: JSON may hold other separators as they are.
    lines = [(n, line) for n, line in enumerate(_read(path).split("\n"), 1) if line.strip()]
    if not lines:
        raise UsageError("the file of texts is empty", where=str(path), hint=HINT)
    for number, line in lines:
        where = f"{path}, line {number}"
        try:
            entry = parse_json(line)
        except OSError as error:
            raise UsageError("a line is no JSON", where=where, why=str(error), hint=HINT) from error
        keys = entry if isinstance(entry, dict) else {}
        missing = [f"`{key}`" for key in ("text", "label") if key not in keys]
        if missing:
            what = f"a line has no {' and no '.join(missing)}"
            raise UsageError(what, where=where, hint=HINT)
        if not isinstance(entry["text"], str):
            raise UsageError("the text of a line is no text", where=where, hint=HINT)
        yield Labelled(where, _label(entry["label"]), entry["text"])


def _label(written: Any) -> str:
    """Return a label as tables have it: numbers with blanks in between."""
    return " ".join(map(str, written)) if isinstance(written, list) else str(written)
