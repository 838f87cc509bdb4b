"""The graph of a byte-level BPE against `tokenizers`: same ids for the same text, whatever text."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from olive_build.errors import StepError
from olive_build.tokenizers.graph import tokenizer_graph
from olive_build.tokenizers.texts import NUL_OPSET
from tests.tokenizers.byte_level_cases import KINDS, PROMPTS, byte_level
from tests.tokenizers.strange_texts import (
    PIECES,
    bytes_through,
    check_equal,
    session_of,
    strange_texts,
)


@pytest.fixture(scope="module")
def roberta() -> dict[str, Any]:
    return json.loads(byte_level("roberta").to_str())


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_library(kind: str) -> None:
    tokenizer = byte_level(kind)
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    texts = ["", *PIECES, *strange_texts(400, 7, added)]
    check_equal(tokenizer, texts, 64, PROMPTS.get(kind, ""))


def test_texts_are_not_cut_where_there_is_no_length() -> None:
    check_equal(byte_level("roberta"), ["a b c " * 3000, "", "漢字" * 400], None)


def test_bytes_that_are_no_words_are_left_out() -> None:
    letters = pre_tokenizers.ByteLevel.alphabet()
    words = {c: n for n, c in enumerate(sorted(set(letters) - {"Ã", "a"}))}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.enable_padding(pad_id=0, pad_token=min(words))
    check_equal(tokenizer, ["banana", "à la", "a"], 64)


def test_a_batch_of_no_text(roberta: dict[str, Any]) -> None:
    ids = session_of(roberta, 64).run(["input_ids"], {"text": np.array([], dtype=object)})[0]
    assert ids.shape[0] == 0


def test_below_the_opset_of_nul_a_text_ends_there(roberta: dict[str, Any]) -> None:
    session = session_of(roberta, 64, opset=NUL_OPSET - 1)
    cut, whole = session.run(["input_ids"], {"text": np.array(["one\0two", "one"], dtype=object)})[
        0
    ]
    assert cut.tolist() == whole.tolist()


def test_bytes_that_are_not_utf8_keep_the_rows_of_others(roberta: dict[str, Any]) -> None:
    model = tokenizer_graph(roberta, max_length=64, opset=NUL_OPSET)
    right = Tokenizer.from_str(json.dumps(roberta)).encode("abc <mask>").ids
    dice = random.Random(4)
    likely = [*(bytes([byte]) for byte in b"\xfd\xfe\xff\xf0\xf4\xc3\x80\x90 a\xed\xa0"), b"<mask>"]
    for _ in range(20):
        rows = [b"".join(dice.choices(likely, k=dice.randrange(12))) for _ in range(3)]
        found = bytes_through(model, [b"abc <mask>", *rows])
        assert len(found) == 4
        assert found[0][: len(right)] == right


def test_modified_utf8_of_java(roberta: dict[str, Any]) -> None:
    text = "hi 😀 you𝐀 a\0b"
    java = b"".join(
        b"\xc0\x80" if unit == 0 else chr(unit).encode("utf-8", "surrogatepass")
        for unit in np.frombuffer(text.encode("utf-16-le"), np.uint16).tolist()
    )
    model = tokenizer_graph(roberta, max_length=64, opset=18)
    right = Tokenizer.from_str(json.dumps(roberta)).encode(text).ids
    assert java != text.encode()
    assert bytes_through(model, [java]) == [right]


def test_the_same_bytes_every_time(roberta: dict[str, Any]) -> None:
    one, other = (tokenizer_graph(roberta, max_length=64, opset=18) for _ in range(2))
    onnx.checker.check_model(one)
    onnx.shape_inference.infer_shapes(one, strict_mode=False)
    assert one.SerializeToString() == other.SerializeToString()


@pytest.mark.parametrize(
    ("path", "value", "seen"),
    [
        ("model.type", "WordLevel", "model is WordLevel"),
        ("model.byte_fallback", True, "model.byte_fallback"),
        ("model.ignore_merges", True, "model.ignore_merges"),
        ("model.end_of_word_suffix", "</w>", "end_of_word_suffix is '</w>'"),
        ("model.dropout", 0.1, "model.dropout is 0.1"),
        ("model.merges", [["a", "nowhere"]], "merge 'a' 'nowhere'"),
        ("model.extra", 1, "model has extra"),
        ("normalizer", {"type": "NFKD"}, "normalizer is NFKD"),
        ("pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer Whitespace"),
        ("pre_tokenizer", None, "pre_tokenizer None"),
        ("pre_tokenizer.use_regex", False, "use_regex is off"),
        ("post_processor", {"type": "Special"}, "post_processor is Special"),
        ("added_tokens.1.single_word", True, "single_word: true"),
        ("added_tokens.1.content", "два", "added token 'два'"),
        ("added_tokens.1.id", 3, "has id 3"),
        ("padding.direction", "Left", "padding.direction is Left"),
        ("padding.pad_id", 5, "with id 5"),
    ],
)
def test_refuses_by_name(roberta: dict[str, Any], path: str, value: Any, seen: str) -> None:
    tokenizer = copy.deepcopy(roberta)
    *way, last = path.split(".")
    place: Any = tokenizer
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    with pytest.raises(StepError, match=seen) as caught:
        tokenizer_graph(tokenizer, max_length=8, opset=20)
    assert caught.value.where == "tokenizer.json"
    assert caught.value.why and caught.value.hint


def test_refuses_what_the_library_would_find_in_another_order(roberta: dict[str, Any]) -> None:
    tokenizer = copy.deepcopy(roberta)
    number = max(token["id"] for token in tokenizer["added_tokens"]) + 1
    same = tokenizer["added_tokens"][1] | {"id": number, "content": "> <s", "normalized": True}
    tokenizer["added_tokens"].append(same)
    with pytest.raises(StepError, match="overlap"):
        tokenizer_graph(tokenizer, max_length=8, opset=20)


def test_a_length_that_the_ends_fill_is_refused(roberta: dict[str, Any]) -> None:
    with pytest.raises(StepError) as caught:
        tokenizer_graph(roberta, max_length=2, opset=20)
    assert caught.value.where == "max_length"
