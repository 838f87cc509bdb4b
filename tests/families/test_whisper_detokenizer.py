"""Text in the graph against transformers' batch_decode: the same for any ids."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import StepError
from olive_build.families.whisper.detokenizer import (
    MIN_OPSET,
    SEQUENCES,
    TEXT,
    detokenizer_graph,
)
from olive_build.families.whisper.detokenizer_utf8 import FIRST_BYTES
from olive_build.families.whisper.spec import inspect

MODEL = Path(__file__).resolve().parents[2] / "recipes" / "whisper-digits" / "model"
OPSET = 18
TEXTS = (
    " eight nine three",
    " Ask not what your country can do for you.",
    " Привет, как дела? Щёлково",
    " 今天天气很好，我们去公园吧。",
    " こんにちは、世界。カタカナ",
    " 안녕하세요 반갑습니다",
    " مرحبا بالعالم ١٢٣",
    " नमस्ते दुनिया",
    " สวัสดีชาวโลก",
    " שלום עולם",
    " Γειά σου Κόσμε",
    " Xin chào thế giới",
    " 😀👩‍👩‍👧‍👦🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🫠",
    " naïve café Ångström ﬁ e\u0301",
    " \ufffd \ufeff \u200b \U0010ffff \r\n\t",
    " <|0.00|> <|12.34|>x<|1.<|0.5|>2|> <|٣.٤|> <| 1.0|> <|1|>",
)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return session_of(tmp_path_factory.mktemp("whisper_text"), OPSET)


def session_of(folder: Path, opset: int) -> Any:
    model = detokenizer_graph(MODEL, inspect(MODEL), opset)
    onnx.checker.check_model(model)
    onnx.save(model, folder / f"{opset}.onnx")
    return open_session(folder / f"{opset}.onnx")


def texts_of(session: Any, rows: Sequence[Sequence[int]], pad: int = 50257) -> list[str]:
    ids = np.full((1, len(rows), max(map(len, rows))), pad, np.int32)
    for place, row in enumerate(rows):
        ids[0, place, : len(row)] = row
    (found,) = session.run(None, {SEQUENCES: ids})
    assert found.shape == (1, len(rows))
    return list(found[0])


def wanted(tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[str]:
    """What transformers makes of the rows, without U+0000."""
    texts = tokenizer.batch_decode([list(row) for row in rows], skip_special_tokens=True)
    return [text.replace("\0", "") for text in texts]


def encoded(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def byte_ids(tokenizer: Any) -> list[int]:
    """The token of each single byte."""
    backend = tokenizer.backend_tokenizer
    found = {}
    for index in range(256):
        (character,) = backend.id_to_token(index)
        seen = character.encode("latin-1") if ord(character) < 256 else None
        hidden = [*range(33), *range(127, 161), 173]
        byte = seen[0] if seen else hidden[ord(character) - 256]
        found[byte] = index
    return [found[byte] for byte in range(256)]


def test_random_ids_of_all_kinds(session: Any, tokenizer: Any) -> None:
    random = np.random.default_rng(0)
    counted = 0
    # All ids; those of text; single bytes, which are rarely a character.
    for number, highest in zip(range(450), itertools.cycle((51865, 50257, 256)), strict=False):
        rows = [
            random.integers(0, highest, random.integers(0, 200)).tolist()
            for _ in range(1 + number % 5)
        ]
        assert texts_of(session, rows) == wanted(tokenizer, rows)
        counted += len(rows)
    assert counted >= 1000


def test_texts_of_many_languages_cut_anywhere(session: Any, tokenizer: Any) -> None:
    for text in TEXTS:
        ids = encoded(tokenizer, text)
        prompt = [50258, 50259, 50359, 50363]
        rows = [[*prompt, *ids[:end], 50257] for end in range(len(ids) + 1)]
        rows += [ids[start:] for start in range(len(ids) + 1)]
        assert texts_of(session, rows) == wanted(tokenizer, rows), text
    assert texts_of(session, [encoded(tokenizer, TEXTS[2])]) == [TEXTS[2]]


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(st.text(max_size=40), min_size=1, max_size=4),
    cuts=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_any_text_cut_anywhere(
    session: Any, tokenizer: Any, texts: list[str], cuts: tuple[int, int]
) -> None:
    rows = [encoded(tokenizer, text)[cuts[0] : cuts[0] + cuts[1]] for text in texts]
    assert texts_of(session, rows) == wanted(tokenizer, rows)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(st.integers(0, 51864), max_size=40), min_size=1, max_size=4))
def test_any_ids(session: Any, tokenizer: Any, rows: list[list[int]]) -> None:
    assert texts_of(session, rows) == wanted(tokenizer, rows)


def test_every_kind_of_bytes_in_every_order(session: Any, tokenizer: Any) -> None:
    limits = {0x01, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xF5, 0xFF}
    for first, last, _, second in FIRST_BYTES:
        limits |= {first, last, *second}
    kinds = sorted(limits)
    ids = byte_ids(tokenizer)
    orders = [bytes(order) for order in itertools.product(kinds, repeat=3)]
    some = (0x41, 0x80, 0x9F, 0xA0, 0xBF, 0xE0, 0xED, 0xF0, 0xF1, 0xF4)
    orders += [bytes(order) for order in itertools.product(some, repeat=4)]
    rows = [[ids[byte] for byte in order] for order in orders]
    found = texts_of(session, rows)
    assert found == [order.decode("utf-8", "replace") for order in orders]
    assert found == wanted(tokenizer, rows)


def test_a_timestamp_breaks_a_character_and_a_special_token_does_not(
    session: Any, tokenizer: Any
) -> None:
    first, second = (byte_ids(tokenizer)[byte] for byte in "é".encode())
    rows = [[first, 50363, second], [first, 50364, second], [first, 50257], [50257, second]]
    found = texts_of(session, rows)
    assert found == ["é", "\ufffd\ufffd", "\ufffd", "\ufffd"]
    assert found == wanted(tokenizer, rows)


def test_a_character_does_not_go_on_in_the_next_row(session: Any, tokenizer: Any) -> None:
    first, second = (byte_ids(tokenizer)[byte] for byte in "é".encode())
    assert texts_of(session, [[first], [second]]) == ["\ufffd", "\ufffd"]


def test_rows_without_text_are_empty(session: Any) -> None:
    assert texts_of(session, [[]]) == [""]
    assert texts_of(session, [[50258, 50363, 50257]]) == [""]
    assert texts_of(session, [[], [50257, 220], []]) == ["", " ", ""]


def test_u_0000_is_left_out(session: Any, tokenizer: Any) -> None:
    ids = byte_ids(tokenizer)
    rows = [[ids[byte] for byte in b"a\0b\0"]]
    assert texts_of(session, rows) == ["ab"]
    assert tokenizer.batch_decode(rows) == ["a\0b\0"]


def test_ids_that_no_token_has_are_no_text(session: Any, tokenizer: Any) -> None:
    letter = byte_ids(tokenizer)[ord("a")]
    assert texts_of(session, [[-1, letter, 51865, letter, 2**31 - 1, -(2**31)]]) == ["aa"]


@pytest.mark.parametrize("opset", range(MIN_OPSET, 22))
def test_every_opset_gives_the_same(tmp_path: Path, tokenizer: Any, opset: int) -> None:
    session = session_of(tmp_path, opset)
    rows = [encoded(tokenizer, text) for text in TEXTS]
    assert texts_of(session, rows) == wanted(tokenizer, rows)


def test_the_graph_is_small_fast_named_and_reproducible(session: Any) -> None:
    facts = inspect(MODEL)
    model = detokenizer_graph(MODEL, facts, OPSET)
    assert model.SerializeToString() == detokenizer_graph(MODEL, facts, OPSET).SerializeToString()
    assert model.ByteSize() < 600_000
    assert model.ir_version == 10
    graph = model.graph
    names = [*(node.name for node in graph.node), *(item.name for item in graph.initializer)]
    outputs = [name for node in graph.node for name in node.output if name != TEXT]
    assert all(name.startswith("text/") for name in [*names, *outputs])
    assert len({node.name for node in graph.node}) == len(graph.node)
    ids = np.random.default_rng(0).integers(0, 50257, (1, 4, 448), dtype=np.int32)
    spent = []
    for _ in range(20):
        begin = time.perf_counter()
        session.run(None, {SEQUENCES: ids})
        spent.append(time.perf_counter() - begin)
    assert min(spent) < 5e-3


def test_an_old_opset_is_refused() -> None:
    with pytest.raises(StepError, match="opset 16"):
        detokenizer_graph(MODEL, inspect(MODEL), 16)


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="cannot be loaded"):
        detokenizer_graph(tmp_path, inspect(MODEL), OPSET)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(MODEL / name, tmp_path / name)
    # The class of WhisperTokenizer has its own decoder, whatever the file says.
    settings_file = tmp_path / "tokenizer_config.json"
    settings_file.write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', encoding="utf-8")
    path = tmp_path / "tokenizer.json"
    path.chmod(0o644)
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(found | {"decoder": {"type": "Fuse"}}), encoding="utf-8")
    with pytest.raises(StepError, match="not byte-level"):
        detokenizer_graph(tmp_path, inspect(MODEL), OPSET)
