"""The committed model that generates text, and the texts that proofs of it run on."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPTNeoForCausalLM

from olive_build.families.causal_lm.sizes import Sizes
from olive_build.families.causal_lm.spec import inspect
from olive_build.families.causal_lm.torch_side import loading
from olive_build.families.causal_lm.torch_sizes import sizes_in

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "recipes" / "neo-tiny"
MODEL = FOLDER / "model"
MEGABYTE = 1_000_000
PARAMETERS = 1_086_720
# e to the mean surprise of a token; by how often each token occurs alone, it is about 600.
PERPLEXITY = 95


def script(name: str) -> ModuleType:
    """Return a script of the recipe as a module; it does nothing until it is called."""
    spec = importlib.util.spec_from_file_location(f"neo_tiny_{name}", FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(part: str) -> list[str]:
    lines = (FOLDER / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


def test_the_model_is_small_because_its_vocabulary_is_stored_once_in_fp16() -> None:
    path = MODEL / "model.safetensors"
    with safe_open(str(path), framework="np") as weights:
        names = set(weights.keys())
        types = {weights.get_slice(name).get_dtype() for name in names}
    assert types == {"F16"}
    assert path.stat().st_size <= 2 * PARAMETERS + 10_000
    assert "transformer.wte.weight" in names
    assert "lm_head.weight" not in names
    assert sum(file.stat().st_size for file in MODEL.iterdir()) <= 3 * MEGABYTE


def test_its_weights_are_finite_in_fp16() -> None:
    weights = load_file(MODEL / "model.safetensors")
    assert all(np.isfinite(weight).all() for weight in weights.values())
    assert sum(weight.size for weight in weights.values()) == PARAMETERS


def test_the_family_reads_it_as_a_gpt_neo_with_whole_and_local_attention() -> None:
    facts = inspect(MODEL)
    assert (facts.architecture, facts.positions) == ("gpt_neo", 256)
    assert sizes_in(MODEL) == Sizes(((4, 32),) * 4, ((4, 32),) * 4, 2048, True)
    assert (facts.bos, facts.eos, facts.pad) == (0, (0,), 0)
    assert loading(MODEL).measured["tied"]
    config = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    assert config["attention_layers"] == ["global", "local"] * 2
    assert config["window_size"] < 40  # generated texts of 40 tokens leave the window


def test_its_tokenizer_is_of_bytes_and_gives_back_any_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 2048
    for text in ("Übung, naïve café; 12 \n\t 🙂", " two  spaces ", "def f(x):", ""):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    settings = json.loads((MODEL / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["tokenizer_class"] == "GPT2Tokenizer"  # one that transformers.js knows
    assert settings["eos_token"] == settings["pad_token"] == "<|endoftext|>"


def test_the_proof_has_enough_texts_of_a_length_that_a_sentence_has(tokenizer: Tokenizer) -> None:
    lengths = [len(tokenizer.encode(text).ids) for text in texts("test")]
    assert len(lengths) >= 100
    assert min(lengths) >= 40 and max(lengths) <= 200


def test_no_run_of_words_of_the_proof_was_in_training() -> None:
    collect = script("texts")
    trained = set().union(*map(collect.runs, texts("training")))
    for text in texts("test"):
        assert collect.runs(text)  # long enough to have any
        assert not collect.runs(text) & trained


def test_calibration_is_of_training_and_not_of_the_proof() -> None:
    calibration = set(texts("calibration"))
    assert len(calibration) == 96
    assert calibration <= set(texts("training"))
    assert not calibration & set(texts("test"))


@pytest.mark.parametrize("part", ["training", "calibration", "test"])
def test_texts_are_single_paragraphs_of_prose_that_say_where_they_are_from(part: str) -> None:
    collect = script("texts")
    lines = (FOLDER / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert all(set(item) == {"text", "from"} and item["from"] for item in found)
    assert all(collect.is_prose(item["text"]) for item in found)
    assert len({item["text"] for item in found}) == len(found)


def test_what_is_no_prose_is_left_out() -> None:
    collect = script("texts")
    assert collect.is_prose("Return the sum of all the values that were given to it.")
    for text in (
        "Return the sum.",
        "return the sum of all the values that were given to it.",
        "Return the sum of all the values that were given to it",
        ">>> sum([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) 78.",
        "Name: the sum of all the values that were given to it.",
    ):
        assert not collect.is_prose(text)


def test_texts_of_others_who_hold_rights_stay_out() -> None:
    rights = script("texts").OTHERS_RIGHTS
    assert rights.search("# Copyright (c) 1999 Somebody")
    assert not rights.search("# Copyright (C) 2001-2007 Python Software Foundation")


def test_the_script_makes_the_committed_tokenizer_and_configuration(tmp_path: Path) -> None:
    train = script("train")
    tokenizer = train.new_tokenizer(texts("training"))
    tokenizer.save_pretrained(str(tmp_path))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        made, committed = (json.loads((at / name).read_text("utf-8")) for at in (tmp_path, MODEL))
        assert made == committed
    made = train.new_model(tokenizer.eos_token_id).config.to_dict()
    committed = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    differs = ("architectures", "dtype", "transformers_version")
    assert {key: made[key] for key in committed if key not in differs} == {
        key: value for key, value in committed.items() if key not in differs
    }


def test_a_row_of_training_begins_with_a_whole_text() -> None:
    train = script("train")
    pieces = [[number] * length for number, length in enumerate((30, 100, 200, 300), start=1)]
    rows = train.rows(pieces)
    for _ in range(20):
        batch = next(rows)
        assert batch.shape == (train.BATCH, train.POSITIONS + 1)
        for row in batch.tolist():
            assert row[: len(pieces[row[0] - 1])] == pieces[row[0] - 1][: len(row)]


def test_it_is_not_surprised_by_texts_it_never_saw() -> None:
    train = script("train")
    tokenizer = AutoTokenizer.from_pretrained(str(MODEL))
    model = GPTNeoForCausalLM.from_pretrained(str(MODEL)).float().eval()
    pieces = tokenizer(texts("test")).input_ids
    assert train.perplexity(model, pieces) < PERPLEXITY
