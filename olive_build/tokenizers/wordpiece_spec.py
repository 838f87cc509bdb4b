"""What a BERT WordPiece tokenizer.json says, checked: everything the graph needs and nothing else.

The layout of tokenizer.json is that of the Hugging Face `tokenizers` library (its serialized
`Tokenizer`); the names of keys and types below are theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olive_build.tokenizers.sections import check_own_id, check_sides, read_ends, refuse

WORD_LIMIT = 100
"""Longest word, in characters, that the BertTokenizer operator splits; a longer one is unknown.

Fixed in onnxruntime-extensions operators/tokenizer/bert_tokenizer.hpp (a default argument that no
attribute reaches), and also the value that BERT tokenizers have.
"""

NORMALIZER_OPTIONS = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
# Beside those, in the normalizer's JSON: whether texts are made lower case before it.
LOWERED = "lowered"


@dataclass(frozen=True)
class WordPieceSpec:
    """A BERT WordPiece tokenizer, reduced to what decides its ids.

    `vocabulary` maps each word to its id; `special_tokens` those texts that are cut out of the
    input before anything else happens to it, to their ids. `normalizer` is the JSON of the
    normalizer, options only: a string so that tables can be cached by it.
    """

    vocabulary: Mapping[str, int]
    special_tokens: Mapping[str, int]
    normalizer: str
    unknown: str
    prefix: str
    begin_id: int
    end_id: int
    pad_id: int
    pad_token: str


def read_spec(tokenizer: Mapping[str, Any]) -> WordPieceSpec:
    """Return what `tokenizer`, a parsed tokenizer.json, says about its ids.

    Raises StepError, naming what it saw, for a tokenizer that is not BERT WordPiece or has a
    feature that the graph does not reproduce. Padding and truncation are checked for their side
    only: the graph pads to the longest text of a batch and takes its maximum from the caller.
    """
    try:
        return _read(tokenizer)
    except (KeyError, IndexError, TypeError) as error:
        raise refuse("its layout is not known", f"reading it failed with {error!r}") from error


def _read(tokenizer: Mapping[str, Any]) -> WordPieceSpec:
    model = _section(tokenizer, "model", "WordPiece")
    vocabulary = _vocabulary(model)
    unknown = model.get("unk_token")
    if unknown not in vocabulary:
        raise refuse(f"unk_token {unknown!r}", "it is not a word of the vocabulary")
    limit = model.get("max_input_chars_per_word", WORD_LIMIT)
    if limit != WORD_LIMIT:
        raise refuse(
            f"max_input_chars_per_word is {limit}",
            f"the BertTokenizer operator has this limit fixed at {WORD_LIMIT}",
        )
    _section(tokenizer, "pre_tokenizer", "BertPreTokenizer")
    prefix = _prefix(model)
    special = _special_tokens(tokenizer.get("added_tokens") or [], vocabulary, prefix)
    begin_id, end_id = _ends(tokenizer.get("post_processor"))
    pad_token, pad_id = _padding(tokenizer, {**vocabulary, **special})
    return WordPieceSpec(
        vocabulary=vocabulary,
        special_tokens=special,
        normalizer=_normalizer(tokenizer),
        unknown=unknown,
        prefix=prefix,
        begin_id=begin_id,
        end_id=end_id,
        pad_id=pad_id,
        pad_token=pad_token,
    )


def _section(tokenizer: Mapping[str, Any], name: str, wanted: str) -> Mapping[str, Any]:
    section = tokenizer.get(name)
    seen = section.get("type") if isinstance(section, Mapping) else section
    if seen != wanted:
        raise refuse(f"its {name} is {seen}", f"only a {name} of type {wanted} is reproduced")
    return section  # type: ignore[return-value]  # seen == wanted only for a mapping


def _normalizer(tokenizer: Mapping[str, Any]) -> str:
    section, lowered = _bert_normalizer(tokenizer)
    options: dict[str, bool | None] = {LOWERED: lowered}
    for key in NORMALIZER_OPTIONS:
        value = section.get(key, None if key == "strip_accents" else True)
        if value is not None and not isinstance(value, bool):
            raise refuse(f"normalizer.{key} is {value!r}", "it must be true, false or null")
        options[key] = value
    if options["clean_text"] is not True:
        raise refuse(
            "normalizer.clean_text is off", "U+0000 would be a letter, and operators stop at it"
        )
    extra = sorted(set(section) - {"type", *NORMALIZER_OPTIONS})
    if extra:
        raise refuse(f"its normalizer has {', '.join(extra)}", "these options are not reproduced")
    return json.dumps(options, sort_keys=True)


def _bert_normalizer(tokenizer: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return the BERT normalizer, and whether texts are made lower case before it.

    sentence-transformers puts Lowercase there for a model that says `do_lower_case`.
    """
    section = tokenizer.get("normalizer")
    parts = section.get("normalizers") if isinstance(section, Mapping) else None
    if parts is None:
        return _section(tokenizer, "normalizer", "BertNormalizer"), False
    kinds = [part.get("type") for part in parts]
    if kinds not in (["BertNormalizer"], ["Lowercase", "BertNormalizer"]):
        raise refuse(
            f"its normalizer is a sequence of {', '.join(map(str, kinds))}",
            "only BertNormalizer, and Lowercase before it, are reproduced",
        )
    return parts[-1], len(kinds) > 1


def _vocabulary(model: Mapping[str, Any]) -> dict[str, int]:
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, Mapping) or not vocabulary:
        raise refuse("model.vocab is empty", "there is nothing to match words with")
    words: dict[int, str] = {}
    for word, number in vocabulary.items():
        if not word or "\n" in word or "\r" in word:
            raise refuse(f"the word {word!r}", "the operator keeps its vocabulary as lines of text")
        if number in words:
            raise refuse(
                f"{words[number]!r} and {word!r} share id {number}", "a line has a single word"
            )
        words[number] = word
    # Gaps would need a filler line each; a few do no harm, a huge id would be a huge attribute.
    if min(words) < 0 or max(words) >= 2 * len(words):
        raise refuse("ids that are not 0 to the number of words", "an id is the number of a line")
    return dict(vocabulary)


def _prefix(model: Mapping[str, Any]) -> str:
    prefix = str(model.get("continuing_subword_prefix", "##"))
    # The prefix tells a piece that starts a word from one that goes on. That is safe only when no
    # word can itself begin with it, that is, when its first character always stands alone.
    if not prefix or not _ascii_punctuation(prefix[0]):
        raise refuse(
            f"continuing_subword_prefix {prefix!r}", "it must begin with ASCII punctuation"
        )
    return prefix


def _ascii_punctuation(character: str) -> bool:
    return "!" <= character <= "~" and not character.isalnum()


def _special_tokens(
    added: list[Mapping[str, Any]], vocabulary: dict[str, int], prefix: str
) -> dict[str, int]:
    """Return content -> id. lstrip and rstrip are free: the graph drops all whitespace anyway."""
    special: dict[str, int] = {}
    for token in added:
        content, number = token["content"], token["id"]
        for flag in ("single_word", "normalized"):
            if token.get(flag, False):
                raise refuse(f"added token {content!r} has {flag}: true", "it is not reproduced")
        _check_special_text(content, vocabulary, prefix)
        check_own_id(content, number, vocabulary, special.values())
        special[content] = number
    return special


def _check_special_text(content: str, vocabulary: Mapping[str, int], prefix: str) -> None:
    # 0x21 to 0x7E: these characters are one byte each, and none of them is a space.
    if not content or not all("!" <= c <= "~" for c in content) or len(content) > WORD_LIMIT:
        raise refuse(
            f"added token {content!r}",
            f"only 1 to {WORD_LIMIT} printable ASCII characters without a space are matched",
        )
    if content.startswith(prefix):
        raise refuse(f"added token {content!r}", f"{prefix} marks pieces that go on a word")
    # The graph keeps special tokens among the words. Punctuation stands alone in normalized text,
    # so a longer text with some in it is never a word there.
    unmistakable = len(content) > 1 and any(map(_ascii_punctuation, content))
    if content not in vocabulary and not unmistakable:
        raise refuse(
            f"added token {content!r}",
            "it is not in the vocabulary, and plain text can become the same word",
        )


def _ends(post: Mapping[str, Any] | None) -> tuple[int, int]:
    """Return the ids put before and after a text."""
    begin, end = read_ends(post)
    if begin is None or end is None:
        raise refuse(
            f"its template for one text is {json.dumps(post['single'])}",  # type: ignore[index]
            "only one special token on each side is reproduced",
        )
    return begin, end


def _padding(tokenizer: Mapping[str, Any], known: Mapping[str, int]) -> tuple[str, int]:
    """Return the padding word and its id; a file without a padding section gets [PAD]."""
    check_sides(tokenizer)
    usual = next((token for token in ("[PAD]", "<pad>") if token in known), "[PAD]")
    padding = tokenizer.get("padding") or {"pad_token": usual, "pad_id": known.get(usual)}
    token, number = padding.get("pad_token"), padding.get("pad_id")
    if (
        not isinstance(token, str)
        or known.get(token) != number
        or padding.get("pad_type_id", 0) != 0
    ):
        raise refuse(
            f"padding is {token!r} with id {number} and type {padding.get('pad_type_id', 0)}",
            "it must be a word of the vocabulary with its id, and type 0",
        )
    return token, known[token]
