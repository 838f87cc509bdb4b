"""What all tokenizer.json files say alike: added tokens, what stands around a text, padding.

The layout is that of the Hugging Face `tokenizers` library (its serialized `Tokenizer`); the names
of keys and types are theirs. A feature that no graph has is refused by its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from olive_build.errors import StepError

LONGEST_ADDED = 100
"""Longest added token, in characters."""


@dataclass(frozen=True)
class AddedToken:
    """A text that is one token wherever it is typed, and whether it takes the spaces beside it."""

    content: str
    id: int
    takes_left: bool
    takes_right: bool


@dataclass(frozen=True)
class Frame:
    """What is put around the ids of a text, and what rows are filled up with.

    `begin` and `end` are the ids before and after a text, where there are any. `pad` is None where
    the file does not say.
    """

    begin: int | None
    end: int | None
    pad: int | None

    @property
    def count(self) -> int:
        """How many tokens stand around a text."""
        return (self.begin is not None) + (self.end is not None)


def refuse(what: str, why: str, hint: str | None = None) -> StepError:
    """Return the error for a tokenizer that has no equal graph."""
    return StepError(
        f"this tokenizer cannot become a graph: {what}",
        where="tokenizer.json",
        why=why,
        hint=hint or "ship the tokenizer beside the model, or take a model with another tokenizer",
    )


def read_parts(section: Any, name: str, list_key: str) -> list[Mapping[str, Any]]:
    """Return the parts of a section that may be a sequence, none, or one part by itself."""
    if section is None:
        return []
    if section.get("type") != "Sequence":
        return [section]
    return [part for each in section[list_key] for part in read_parts(each, name, list_key)]


def check_keys(part: Mapping[str, Any], name: str, known: Iterable[str]) -> None:
    """Raise StepError where a part has a key that is not read."""
    others = sorted(set(part) - {"type", *known})
    if others:
        raise refuse(f"its {name} has {', '.join(others)}", "these options are not reproduced")


def read_added(
    tokenizer: Mapping[str, Any], vocabulary: Mapping[str, int]
) -> tuple[AddedToken, ...]:
    """Return the added tokens. Raises StepError for one that the graph would not find."""
    found: list[AddedToken] = []
    normalized = set()
    for token in tokenizer.get("added_tokens") or []:
        content, number = token["content"], token["id"]
        if token.get("single_word", False):
            raise refuse(f"added token {content!r} has single_word: true", "it is not reproduced")
        if not content or not all("\1" <= c <= "~" for c in content):
            raise refuse(f"added token {content!r}", "only ASCII characters are matched")
        if len(content) > LONGEST_ADDED:
            raise refuse(f"added token {content!r}", f"{LONGEST_ADDED} characters are the most")
        check_own_id(content, number, vocabulary, [each.id for each in found])
        if token.get("normalized", False):
            normalized.add(content)
        found.append(
            AddedToken(content, number, bool(token.get("lstrip")), bool(token.get("rstrip")))
        )
    _check_spaces(found)
    _check_overlaps({each.content for each in found} - normalized, normalized)
    return tuple(found)


def check_own_id(
    content: str, number: int, vocabulary: Mapping[str, int], before: Iterable[int]
) -> None:
    """Raise StepError where `tokenizers` would give an added token another id than its file.

    It numbers a token that is no word itself, whatever the file says.
    """
    own = vocabulary.get(content, max([len(vocabulary), *(n + 1 for n in before)]))
    if own != number:
        raise refuse(
            f"added token {content!r} has id {number}", f"loading the file gives it id {own}"
        )


def _check_spaces(tokens: list[AddedToken]) -> None:
    """Refuse a token that begins with the spaces which one before it takes."""
    right = [token.content for token in tokens if token.takes_right]
    spaces = [token.content for token in tokens if token.content[0].isspace()]
    if right and spaces:
        raise refuse(
            f"added token {right[0]!r} has rstrip, and {spaces[0]!r} begins with a space",
            "which of them takes the space is not reproduced",
        )


def _check_overlaps(plain: set[str], normalized: set[str]) -> None:
    """Refuse tokens found before normalizing that share characters with those found after it.

    The graph looks for all of them at once.
    """
    for one in plain:
        for other in normalized:
            ends = range(1, min(len(one), len(other)))
            shared = one in other or other in one
            if shared or any(one[-n:] == other[:n] or other[-n:] == one[:n] for n in ends):
                raise refuse(
                    f"added tokens {one!r} and {other!r} overlap, and one is normalized",
                    "the graph looks for both at once, and the library one after the other",
                )


def read_frame(tokenizer: Mapping[str, Any], known: Mapping[str, int]) -> Frame:
    """Return what is put around a text; `known` are all words and added tokens."""
    begin: int | None = None
    end: int | None = None
    parts = read_parts(tokenizer.get("post_processor"), "post_processor", "processors")
    # ByteLevel moves offsets, which no graph gives.
    around = [part for part in parts if part.get("type") != "ByteLevel"]
    if len(around) > 1:
        kinds = ", ".join(str(part.get("type")) for part in around)
        raise refuse(f"its post_processor is a sequence of {kinds}", "only one of them is read")
    for part in around:
        begin, end = read_ends(part)
    return Frame(begin, end, _pad(tokenizer, known))


def read_ends(post: Mapping[str, Any] | None) -> tuple[int | None, int | None]:
    """Return the ids put before and after a text."""
    kind = post.get("type") if isinstance(post, Mapping) else post
    if kind in ("BertProcessing", "RobertaProcessing"):
        return int(post["cls"][1]), int(post["sep"][1])  # type: ignore[index]
    if kind != "TemplateProcessing":
        raise refuse(
            f"its post_processor is {kind}",
            "only TemplateProcessing, BertProcessing and RobertaProcessing are read",
        )
    single = post["single"]  # type: ignore[index]
    shape = [next(iter(piece)) for piece in single]
    types = {next(iter(piece.values())).get("type_id") for piece in single}
    middle = shape.index("Sequence") if shape.count("Sequence") == 1 else 2
    if middle > 1 or len(shape) > middle + 2 or types != {0}:
        raise refuse(
            f"its template for one text is {json.dumps(single)}",
            "only one special token on each side, all of type 0, is reproduced",
        )
    ids = [_only_id(post, piece) for piece in single]  # type: ignore[arg-type]
    return (ids[0] if middle else None), (ids[-1] if len(ids) > middle + 1 else None)


def _only_id(post: Mapping[str, Any], piece: Mapping[str, Any]) -> int | None:
    if "SpecialToken" not in piece:
        return None
    name = piece["SpecialToken"]["id"]
    numbers = post["special_tokens"][name]["ids"]
    if len(numbers) != 1:
        raise refuse(f"{name} stands for the ids {numbers}", "only single ids are reproduced")
    return int(numbers[0])


def check_sides(tokenizer: Mapping[str, Any]) -> None:
    """Raise StepError where texts are cut or filled up at their beginning."""
    for name in ("padding", "truncation"):
        side = (tokenizer.get(name) or {}).get("direction", "Right")
        if side != "Right":
            raise refuse(f"{name}.direction is {side}", "only the right side is reproduced")


def _pad(tokenizer: Mapping[str, Any], known: Mapping[str, int]) -> int | None:
    check_sides(tokenizer)
    padding = tokenizer.get("padding")
    if padding is None:
        return next((known[token] for token in ("[PAD]", "<pad>") if token in known), None)
    token, number = padding.get("pad_token"), padding.get("pad_id")
    if known.get(token) != number or padding.get("pad_type_id", 0) != 0:
        raise refuse(
            f"padding is {token!r} with id {number} and type {padding.get('pad_type_id', 0)}",
            "it must be a word of the vocabulary with its id, and type 0",
        )
    return int(number)
