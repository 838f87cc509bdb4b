"""What the tokenizer.json of a byte-level BPE says, checked: RoBERTa's, GPT-2's and their like."""

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

KNOWN = ("vocab", "merges", "dropout", "unk_token", "fuse_unk")
# Options of the model that must be off or absent.
OFF = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")


@dataclass(frozen=True)
class ByteLevelSpec:
    """A byte-level BPE tokenizer, reduced to what decides its ids.

    `vocabulary` and `merges` are in the library's alphabet of bytes (`ALPHABET`). With
    `prefix_space` a text, and what follows an added token, begins with a space.
    """

    vocabulary: Mapping[str, int]
    merges: tuple[tuple[str, str], ...]
    prefix_space: bool
    added: tuple[AddedToken, ...]
    frame: Frame


def alphabet() -> tuple[str, ...]:
    """Return the character by which GPT-2's vocabularies call each byte: itself where it shows."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (chr(0x100 + place) for place in range(0x100 - len(shown)))
    return tuple(chr(byte) if byte in shown else next(others) for byte in range(0x100))


ALPHABET = alphabet()


def read_byte_level(tokenizer: Mapping[str, Any]) -> ByteLevelSpec:
    """Return what `tokenizer`, a parsed tokenizer.json with a BPE model, says about its ids.

    Raises StepError, naming what it saw, where the graph would not give the same.
    """
    try:
        return _read(tokenizer)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise refuse("its layout is not known", f"reading it failed with {error!r}") from error


def _read(tokenizer: Mapping[str, Any]) -> ByteLevelSpec:
    prefix_space = _prefix_space(tokenizer)
    if read_parts(tokenizer.get("normalizer"), "normalizer", "normalizers"):
        kind = tokenizer["normalizer"]["type"]
        raise refuse(f"its normalizer is {kind}", "a BPE tokenizer with one is not reproduced")
    model = tokenizer["model"]
    _check_model(model)
    vocabulary = dict(model["vocab"])
    merges = tuple(_pair(merge) for merge in model["merges"])
    _check_merges(merges, vocabulary)
    added = read_added(tokenizer, vocabulary)
    known = vocabulary | {token.content: token.id for token in added}
    return ByteLevelSpec(vocabulary, merges, prefix_space, added, read_frame(tokenizer, known))


def _prefix_space(tokenizer: Mapping[str, Any]) -> bool:
    parts = read_parts(tokenizer.get("pre_tokenizer"), "pre_tokenizer", "pretokenizers")
    kinds = [str(part.get("type")) for part in parts]
    if kinds != ["ByteLevel"]:
        raise refuse(
            f"its model is BPE and its pre_tokenizer {', '.join(kinds) or 'None'}",
            "of BPE tokenizers those with GPT-2's ByteLevel alone are reproduced",
        )
    part = parts[0]
    check_keys(part, "pre_tokenizer", ("add_prefix_space", "trim_offsets", "use_regex"))
    if not part.get("use_regex", True):
        raise refuse("pre_tokenizer.use_regex is off", "words are then cut in another way")
    return bool(part.get("add_prefix_space", True))


def _check_model(model: Mapping[str, Any]) -> None:
    check_keys(model, "model", (*KNOWN, *OFF))
    for key in OFF:
        if model.get(key):
            raise refuse(f"model.{key} is {model[key]!r}", "it is not reproduced")
    if model.get("dropout"):
        raise refuse(f"model.dropout is {model['dropout']}", "ids would be drawn by chance")
    vocabulary = model["vocab"]
    if len(set(vocabulary.values())) != len(vocabulary):
        raise refuse("words that share an id", "an id stands for one word")
    missing = [byte for byte, character in enumerate(ALPHABET) if character not in vocabulary]
    if missing and model.get("unk_token") is not None:
        raise refuse(
            f"the byte 0x{missing[0]:02X} is no word", "bytes as unknown tokens are not reproduced"
        )


def _pair(merge: Any) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _check_merges(merges: tuple[tuple[str, str], ...], vocabulary: Mapping[str, int]) -> None:
    letters = set(ALPHABET)
    for first, second in merges:
        if not {first, second, first + second} <= vocabulary.keys():
            raise refuse(f"the merge {first!r} {second!r}", "it is not of words of the vocabulary")
        if not letters.issuperset(first + second):
            raise refuse(f"the merge {first!r} {second!r}", "it is not of bytes")
    if len(set(merges)) != len(merges):
        raise refuse("merges that stand twice", "which of them counts is not reproduced")
