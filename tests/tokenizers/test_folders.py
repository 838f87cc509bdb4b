"""The tokenizer in a file against AutoTokenizer, of folders as transformers saves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import transformers
from tokenizers import Tokenizer

from olive_build.families.sentence_embedding.compose import tokenizer as composed
from tests.tokenizers.byte_level_cases import byte_level
from tests.tokenizers.strange_texts import PIECES, opened, strange_texts
from tests.tokenizers.unigram_cases import unigram

FOLDERS = {
    "roberta": (transformers.RobertaConfig, transformers.RobertaTokenizer, "roberta"),
    "gpt2": (transformers.BertConfig, transformers.GPT2Tokenizer, "gpt2"),
    "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaTokenizer, "xlm-r"),
    "multilingual-minilm": (transformers.BertConfig, transformers.XLMRobertaTokenizer, "xlm-r"),
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"}


def saved(folder: Path, name: str) -> Path:
    config, kind, case = FOLDERS[name]
    made: Tokenizer = unigram(case) if case == "xlm-r" else byte_level(case)
    made.no_padding()
    made.save(str(folder / "tokenizer.json"))
    config().save_pretrained(folder)
    tokens = {"pad_token": "<|endoftext|>"} if case == "gpt2" else TOKENS
    kind.from_pretrained(str(folder), model_max_length=48, **tokens).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", FOLDERS)
def test_ids_are_those_of_the_library(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path, name)
    library = transformers.AutoTokenizer.from_pretrained(folder)
    session = opened(composed(folder, 18))
    texts = [text for text in (*PIECES, *strange_texts(200, 9, ("<mask>",))) if "\0" not in text]
    wanted = library(texts, padding=True, truncation=True, max_length=48)
    ids, mask, _ = session.run(None, {"text": np.array(texts, dtype=object)})
    assert ids.tolist() == wanted["input_ids"]
    assert mask.tolist() == wanted["attention_mask"]
