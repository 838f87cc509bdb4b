"""What is timed: a token after others, and a prompt, alike in PyTorch and in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from olive_build.families.causal_lm.miniature import write_miniature
from olive_build.families.causal_lm.sample import feeds, text_of
from olive_build.families.causal_lm.torch_side import load, runner
from olive_build.families.registry import FAMILIES


@dataclass(frozen=True)
class Value:
    name: str
    type: str
    shape: tuple[int | str, ...]


CACHE = ("batch_size", 4, "past_sequence_length", 16)
INPUTS = [
    *(Value(n, "tensor(int64)", ()) for n in ("input_ids", "attention_mask", "position_ids")),
    *(Value(f"past_key_values.0.{what}", "tensor(float16)", CACHE) for what in ("key", "value")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # threads of so small a model wait for each other
    out = tmp_path_factory.mktemp("miniature")
    write_miniature(out)
    return out


def test_a_decode_step_and_a_prompt_are_timed() -> None:
    family = FAMILIES["causal-lm"]
    assert (family.sizes, family.size_unit) == ((1, 128), "tokens")


@pytest.mark.parametrize(("size", "before"), [(1, 127), (2, 0), (128, 0)])
def test_a_single_token_comes_after_as_many_as_there_are_positions_for(
    folder: Path, size: int, before: int
) -> None:
    assert text_of(folder, size) == str(before)


def test_no_more_than_128_tokens_come_before(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    assert text_of(tmp_path, 1) == "128"


def test_a_step_s_inputs_have_the_cache_s_length_and_type() -> None:
    found = feeds(INPUTS, "127", 1, 3)
    assert {name: value.shape for name, value in found.items()} == {
        "input_ids": (3, 1),
        "attention_mask": (3, 128),
        "position_ids": (3, 1),
        "past_key_values.0.key": (3, 4, 127, 16),
        "past_key_values.0.value": (3, 4, 127, 16),
    }
    assert found["position_ids"].tolist() == [[127]] * 3
    assert found["past_key_values.0.key"].dtype == np.float16


def test_a_prompt_s_cache_is_empty() -> None:
    found = feeds(INPUTS, "0", 5, 1)
    assert found["position_ids"].tolist() == [[0, 1, 2, 3, 4]]
    assert found["past_key_values.0.value"].shape == (1, 4, 0, 16)


@pytest.mark.parametrize(("size", "batch"), [(1, 1), (1, 2), (16, 1)])
def test_pytorch_runs_the_same_step_again_and_again(folder: Path, size: int, batch: int) -> None:
    model = load(folder)
    run = runner(folder, model, "tokens", text_of(folder, size), size, batch)
    first, second = run(), run()
    assert first.shape == (batch, size, model.config.vocab_size)
    assert torch.equal(first, second)


def test_what_searches_by_itself_is_given_a_prompt_and_a_length(folder: Path) -> None:
    names = ("input_ids", "attention_mask", "max_new_tokens")
    found = feeds([Value(name, "tensor(int64)", ()) for name in names], "127", 1, 2)
    assert {name: value.shape for name, value in found.items()} == {
        "input_ids": (2, 1),
        "attention_mask": (2, 1),
        "max_new_tokens": (1,),
    }
    model = load(folder)
    written = runner(folder, model, "prompt", "0", 4, 2)()
    assert written.shape[0] == 2
    assert 4 < written.shape[1] <= 4 + found["max_new_tokens"][0]
