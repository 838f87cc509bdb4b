"""The graph of a Unigram tokenizer against `tokenizers`: same ids for the same text."""

from __future__ import annotations

import base64
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
from tests.tokenizers.strange_texts import (
    PIECES,
    bytes_through,
    check_equal,
    session_of,
    strange_texts,
)
from tests.tokenizers.unigram_cases import KINDS, PROMPTS, charsmap, unigram


@pytest.fixture(scope="module")
def xlm_r() -> dict[str, Any]:
    return json.loads(unigram("xlm-r").to_str())


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_library(kind: str) -> None:
    texts = ["", *PIECES, *strange_texts(400, 7, ("<mask>", "</s>", "<pad>"))]
    check_equal(unigram(kind), texts, 64, PROMPTS.get(kind, ""))


def test_texts_are_not_cut_where_there_is_no_length() -> None:
    check_equal(unigram("xlm-r"), ["a b c " * 3000, "", "漢字" * 400], None)


def test_every_key_of_the_map_alone_and_with_marks() -> None:
    points = [*range(1, 0xD800), *range(0xE000, 0x10000), *range(0x1D400, 0x1F900)]
    chosen = random.Random(5).sample(points, 4000)
    marks = ("", "\u0301", "\u0301\u0300", "\u200d", "\u0e33", "\u0600e", "\r\n")
    texts = [f"{chr(p)}{mark} {chr(p)}e\u0308" for p in chosen for mark in marks[:: 1 + p % 3]]
    joined = ["".join(texts[start : start + 20]) for start in range(0, len(texts), 20)]
    check_equal(unigram("xlm-r"), joined, None)


def test_equal_sums_are_decided_as_in_the_library() -> None:
    pieces = [("<unk>", 0.0), ("▁", -2.0), ("a", -1.1), ("aa", -2.2), ("aaa", -3.3000000000000003)]
    pieces += [("<pad>", 0.0), ("ha", -1.3), ("hah", -2.4), ("ah", -1.1), ("h", -0.2)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.enable_padding(pad_id=5, pad_token="<pad>")
    texts = [c * count for c in ("a", "ha", "ah", "aah", "é", "éa") for count in range(1, 80)]
    check_equal(tokenizer, texts, None)


def test_pieces_with_a_mark_inside_do_not_go_over_words() -> None:
    pieces = [("<unk>", 0.0), ("<pad>", 0.0), ("▁a▁b", -0.1), ("▁a", -3.0), ("▁b", -3.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
    check_equal(tokenizer, ["a b", "a  b", "a▁b"], None)


def test_a_batch_of_no_text(xlm_r: dict[str, Any]) -> None:
    ids = session_of(xlm_r, 64).run(["input_ids"], {"text": np.array([], dtype=object)})[0]
    assert ids.shape[0] == 0


def test_bytes_that_are_not_utf8_keep_the_rows_of_others(xlm_r: dict[str, Any]) -> None:
    model = tokenizer_graph(xlm_r, max_length=64, opset=NUL_OPSET)
    right = Tokenizer.from_str(json.dumps(xlm_r)).encode("abc <mask>").ids
    dice = random.Random(4)
    likely = [bytes([byte]) for byte in b"\xfd\xfe\xff\xf0\xf4\xc3\x80\x90 a\xed\xa0"]
    for _ in range(20):
        rows = [b"".join(dice.choices([*likely, b"<mask>"], k=9)) for _ in range(3)]
        found = bytes_through(model, [b"abc <mask>", *rows])
        assert len(found) == 4
        assert found[0][: len(right)] == right


@pytest.mark.parametrize("opset", [17, 20])
def test_the_same_bytes_every_time(xlm_r: dict[str, Any], opset: int) -> None:
    one, other = (tokenizer_graph(xlm_r, max_length=64, opset=opset) for _ in range(2))
    onnx.checker.check_model(one)
    onnx.shape_inference.infer_shapes(one, strict_mode=False)
    assert one.SerializeToString() == other.SerializeToString()
    assert session_of(xlm_r, 64, opset=opset).run(["input_ids"], {"text": np.array(["a"], object)})


@pytest.mark.parametrize(
    ("path", "value", "seen"),
    [
        ("model.byte_fallback", True, "byte_fallback is on"),
        ("model.unk_id", None, "unk_id is null"),
        ("model.extra", 1, "model has extra"),
        ("normalizer", {"type": "NFKC"}, "normalizer is NFKC"),
        ("normalizer.precompiled_charsmap", "AAAA", "precompiled_charsmap is damaged"),
        ("pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer Whitespace"),
        ("pre_tokenizer.pretokenizers.1.prepend_scheme", "first", "prepend_scheme is 'first'"),
        ("pre_tokenizer.pretokenizers.1.replacement", "_", "replacement is '_'"),
        ("pre_tokenizer.pretokenizers.1.split", False, "split is False"),
        ("added_tokens.1.single_word", True, "single_word: true"),
        ("post_processor.single", [], "its template for one text"),
    ],
)
def test_refuses_by_name(xlm_r: dict[str, Any], path: str, value: Any, seen: str) -> None:
    tokenizer = copy.deepcopy(xlm_r)
    *way, last = path.split(".")
    place: Any = tokenizer
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    with pytest.raises(StepError, match=seen) as caught:
        tokenizer_graph(tokenizer, max_length=8, opset=20)
    assert caught.value.where == "tokenizer.json"
    assert caught.value.why and caught.value.hint


def test_a_cut_map_is_refused(xlm_r: dict[str, Any]) -> None:
    tokenizer = copy.deepcopy(xlm_r)
    cut = base64.b64encode(charsmap()[:200_000]).decode()
    tokenizer["normalizer"]["precompiled_charsmap"] = cut
    with pytest.raises(StepError, match="damaged"):
        tokenizer_graph(tokenizer, max_length=8, opset=20)
