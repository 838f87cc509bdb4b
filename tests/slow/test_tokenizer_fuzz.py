"""Tokenizers in the graph against the `tokenizers` library on 10,000 strings of all scripts."""

from __future__ import annotations

import pytest

from tests.tokenizers import unigram_cases
from tests.tokenizers.byte_level_cases import KINDS, PROMPTS, byte_level
from tests.tokenizers.strange_texts import check_equal, strange_texts

STRINGS = 10_000


@pytest.mark.parametrize("kind", KINDS)
def test_byte_level_ids_are_those_of_the_library(kind: str) -> None:
    tokenizer = byte_level(kind)
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    check_equal(tokenizer, list(strange_texts(STRINGS, 11, added)), 96, PROMPTS.get(kind, ""))


@pytest.mark.parametrize("kind", unigram_cases.KINDS)
def test_unigram_ids_are_those_of_the_library(kind: str) -> None:
    texts = list(strange_texts(STRINGS, 12, ("<mask>", "</s>", "<pad>")))
    check_equal(unigram_cases.unigram(kind), texts, 96, unigram_cases.PROMPTS.get(kind, ""))
