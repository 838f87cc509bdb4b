"""What clients read of a tokenizer gives AutoTokenizer's ids, whatever the model's files say."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from tokenizers import Tokenizer

from olive_build.errors import StepError
from olive_build.families.library_tokenizer import (
    TokenizerSettings,
    library_tokenizer,
    write_client_tokenizer,
)
from olive_build.families.sentence_embedding.texts import edge_texts
from olive_build.families.text_classification.examples import encode
from olive_build.families.text_classification.miniature import write_miniature
from olive_build.families.text_classification.spec import inspect
from tests.families.sentence_folders import edit

TEXTS = ["The People of this CITY", "naïve ÀÉÎ", *edge_texts(40)]
CASES = list(
    product((True, False, ...), (True, False), ("BertTokenizer", "PreTrainedTokenizerFast", ...))
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_miniature(folder)
    return folder


def changed(base: Path, out: Path, config: Any, lowers: bool, kind: Any) -> Path:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (out / name).write_bytes((base / name).read_bytes())
    edit(out / "tokenizer_config.json", do_lower_case=config, tokenizer_class=kind)
    tokenizer = json.loads((out / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = lowers
    (out / "tokenizer.json").write_text(json.dumps(tokenizer))
    return out


@pytest.mark.parametrize(("config", "lowers", "kind"), CASES)
def test_a_device_learns_from_the_tokens_of_the_library(
    config: Any, lowers: bool, kind: Any, base: Path, tmp_path: Path
) -> None:
    folder, bundle = tmp_path / "model", tmp_path / "bundle"
    folder.mkdir()
    bundle.mkdir()
    facts = inspect(changed(base, folder, config, lowers, kind))
    write_client_tokenizer(folder, facts.tokenizer, bundle)
    described = facts.training_data({})
    found = encode(TEXTS, described, bundle)
    library = transformers.AutoTokenizer.from_pretrained(folder)
    wanted = library(TEXTS, truncation=True, max_length=described["longest"])["input_ids"]
    for ids, mask, expected in zip(
        found["input_ids"], found["attention_mask"], wanted, strict=True
    ):
        np.testing.assert_array_equal(ids[mask == 1], expected)


def test_files_that_say_what_the_library_makes_of_them_stay_as_they_are(
    base: Path, tmp_path: Path
) -> None:
    write_client_tokenizer(base, TokenizerSettings(), tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (base / name).read_bytes()


def test_a_clients_length_is_the_models(base: Path, tmp_path: Path) -> None:
    write_client_tokenizer(base, TokenizerSettings(max_length=9), tmp_path)
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    library = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(library("a " * 30, truncation=True)["input_ids"]) == 9


def test_a_vocabulary_alone_is_enough(base: Path, tmp_path: Path) -> None:
    words = Tokenizer.from_file(str(base / "tokenizer.json")).get_vocab()
    lines = sorted(words, key=words.__getitem__)
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((base / name).read_bytes())
    library = transformers.AutoTokenizer.from_pretrained(tmp_path)
    made = library_tokenizer(tmp_path, TokenizerSettings())
    assert [made.encode(text).ids for text in TEXTS] == library(TEXTS)["input_ids"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "None"}}'])
def test_a_damaged_tokenizer_is_a_clear_error(content: str, base: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(StepError, match="transformers cannot read the model's tokenizer"):
        library_tokenizer(tmp_path, TokenizerSettings())
