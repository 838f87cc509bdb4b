"""What the tokenizer.json of a Unigram model says, checked: XLM-R's and its like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olive_build.tokenizers.sections import (
    AddedToken,
    Frame,
    check_keys,
    read_added,
    read_frame,
    read_parts,
    refuse,
)

MARK = "▁"
"""What stands for a space, and begins each word."""


@dataclass(frozen=True)
class UnigramSpec:
    """A Unigram tokenizer, reduced to what decides its ids.

    `pieces` are texts with their scores, by id. With `splits_spaces` words end at any white space,
    which is dropped; without, at U+0020 alone, which is kept. `charsmap` is what sentencepiece
    compiled of its normalizer, as base64; "" where nothing is normalized.
    """

    pieces: tuple[tuple[str, float], ...]
    unknown: int
    splits_spaces: bool
    charsmap: str
    added: tuple[AddedToken, ...]
    frame: Frame


def read_unigram(tokenizer: Mapping[str, Any]) -> UnigramSpec:
    """Return what `tokenizer`, a parsed tokenizer.json with a Unigram model, says about its ids.

    Raises StepError, naming what it saw, where the graph would not give the same.
    """
    try:
        return _read(tokenizer)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise refuse("its layout is not known", f"reading it failed with {error!r}") from error


def _read(tokenizer: Mapping[str, Any]) -> UnigramSpec:
    model = tokenizer["model"]
    check_keys(model, "model", ("unk_id", "vocab", "byte_fallback"))
    if model.get("byte_fallback"):
        raise refuse("model.byte_fallback is on", "bytes as pieces are not reproduced")
    pieces = tuple((str(piece), float(score)) for piece, score in model["vocab"])
    vocabulary = {piece: number for number, (piece, _) in enumerate(pieces)}
    if len(vocabulary) != len(pieces):
        raise refuse("pieces that stand twice", "which of them counts is not reproduced")
    unknown = model.get("unk_id")
    if unknown is None:
        raise refuse("model.unk_id is null", "the library fails on a character of no piece")
    added = read_added(tokenizer, vocabulary)
    known = vocabulary | {token.content: token.id for token in added}
    return UnigramSpec(
        pieces=pieces,
        unknown=int(unknown),
        splits_spaces=_splits_spaces(tokenizer),
        charsmap=_charsmap(tokenizer),
        added=added,
        frame=read_frame(tokenizer, known),
    )


def _splits_spaces(tokenizer: Mapping[str, Any]) -> bool:
    parts = read_parts(tokenizer.get("pre_tokenizer"), "pre_tokenizer", "pretokenizers")
    kinds = [str(part.get("type")) for part in parts]
    if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        raise refuse(
            f"its model is Unigram and its pre_tokenizer {', '.join(kinds) or 'None'}",
            "only Metaspace, and WhitespaceSplit before it, are reproduced",
        )
    part = parts[-1]
    check_keys(
        part, "pre_tokenizer", ("replacement", "prepend_scheme", "split", "add_prefix_space")
    )
    for key, right in (("replacement", MARK), ("prepend_scheme", "always"), ("split", True)):
        if part.get(key, right) != right:
            raise refuse(f"pre_tokenizer.{key} is {part[key]!r}", f"only {right!r} is reproduced")
    return len(parts) > 1


def _charsmap(tokenizer: Mapping[str, Any]) -> str:
    parts = read_parts(tokenizer.get("normalizer"), "normalizer", "normalizers")
    kinds = [str(part.get("type")) for part in parts]
    if kinds not in ([], ["Precompiled"]):
        raise refuse(
            f"its normalizer is {', '.join(kinds)}", "only Precompiled, or none, is reproduced"
        )
    return str(parts[0]["precompiled_charsmap"] or "") if parts else ""
