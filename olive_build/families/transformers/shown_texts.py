"""What a bundle's code shows of preparing a text: Python with tokenizers and numpy. Light."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import BundleError
from olive_build.families.configuration import read_object
from olive_build.families.facts import Axes

# What the tokenizers library has of a text, by the name that networks take it under.
PARTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
# Tokens that code names, as tokenizers call them in their files.
NAMED = ("mask_token", "pad_token")
SIDES = ("padding_side", "truncation_side")
FILES = ("tokenizer_config.json", "special_tokens_map.json")


def texts_shown(folder: Path) -> dict[str, Any]:
    """Return what the files of a model's tokenizer say that its code has to know."""
    settings: dict[str, Any] = {}
    for name in reversed(FILES):
        settings |= read_object(folder / name)
    found = {name: _text(settings.get(name)) for name in NAMED}
    return {**found, **{side: settings.get(side) for side in SIDES}}


def _text(token: Any) -> str | None:
    """Return a special token, which files have as a text or as an object."""
    token = token.get("content") if isinstance(token, Mapping) else token
    return token if isinstance(token, str) else None


def fixed_length(takes: Axes) -> int | None:
    """Return how many tokens a graph takes, where it takes so many and no others."""
    length = takes["input_ids"][-1] if "input_ids" in takes else None
    return length if isinstance(length, int) else None


def tokenizer_code(
    shown: Mapping[str, Any],
    length: int | None,
    most: int | None,
    strategy: str = "",
    *,
    several: bool = False,
) -> str:
    """Return the lines that make a tokenizer of texts that are `length` tokens, or `most` at most.

    Longer ones are cut, by `strategy` where that is not the library's default; shorter ones are
    filled up to `length`, or to the longest of `several`.
    """
    lines = ['tokenizer = Tokenizer.from_file("tokenizer.json")']
    if length or most:
        more = f", strategy={_quoted(strategy)}" if strategy else ""
        more += ', direction="left"' if shown.get("truncation_side") == "left" else ""
        lines.append(f"tokenizer.enable_truncation({length or most}{more})")
    if not (length or several):
        return "\n".join([*lines, "tokenizer.no_padding()"])
    given = [f"length={length}"] if length else []
    if pad := shown.get("pad_token"):
        given += [f"pad_id=tokenizer.token_to_id({_quoted(pad)})", f"pad_token={_quoted(pad)}"]
    given += ['direction="left"'] if shown.get("padding_side") == "left" else []
    return "\n".join([*lines, f"tokenizer.enable_padding({', '.join(given)})"])


def feeds_code(takes: Axes, several: bool = False) -> str:
    """Return the lines that make `feeds` of `text`, one encoded text, or of `texts`.

    Raises BundleError for an input that no tokenizer gives.
    """
    lines = []
    for name in takes:
        if name not in PARTS:
            raise BundleError(
                f"the README's code cannot give the input '{name}'",
                why=f"tokenizers give {', '.join(PARTS)}",
                hint="add it to olive_build/families/transformers/shown_texts.py",
            )
        part = f"each.{PARTS[name]} for each in texts" if several else f"text.{PARTS[name]}"
        lines.append(f'    "{name}": np.array([{part}], np.int64),')
    return "\n".join(["feeds = {", *lines, "}"])


def _quoted(text: str) -> str:
    """Return a text as Python and JavaScript write it."""
    return json.dumps(text, ensure_ascii=False)
