"""What is read of a language model's configuration, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from olive_build.errors import PlanError
from olive_build.families.causal_lm.spec import inspect

GPT_NEO = {
    "model_type": "gpt_neo",
    "num_layers": 12,
    "num_heads": 12,
    "hidden_size": 768,
    "max_position_embeddings": 2048,
    "vocab_size": 50257,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "pad_token_id": None,
}
LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "hidden_size": 256,
    "max_position_embeddings": 512,
    "vocab_size": 1000,
}


def written(folder: Path, config: dict[str, Any], generation: dict[str, Any] | None = None) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def test_gpt_neo(tmp_path: Path) -> None:
    facts = inspect(written(tmp_path, GPT_NEO))
    assert (facts.layers, facts.heads, facts.kv_heads, facts.head_dim) == (12, 12, 12, 64)
    assert (facts.bos, facts.eos, facts.pad) == (50256, (50256,), None)
    assert facts.tied and facts.positions == 2048 and facts.vocabulary == 50257
    assert facts.inputs[:4] == (
        "input_ids",
        "attention_mask",
        "position_ids",
        "past_key_values.0.key",
    )
    assert len(facts.inputs) == 3 + 2 * 12


def test_shared_heads_and_tying_by_the_architectures_default(tmp_path: Path) -> None:
    facts = inspect(written(tmp_path, LLAMA))
    assert (facts.heads, facts.kv_heads, facts.head_dim) == (8, 2, 32)
    assert not facts.tied and facts.eos == ()
    assert inspect(written(tmp_path, LLAMA | {"tie_word_embeddings": True})).tied
    assert inspect(written(tmp_path, LLAMA | {"head_dim": 48})).head_dim == 48
    assert not inspect(written(tmp_path, GPT_NEO | {"tie_word_embeddings": False})).tied


def test_generation_config_wins_and_is_completed(tmp_path: Path) -> None:
    saved = {"eos_token_id": [7, 9], "pad_token_id": None, "max_length": 64}
    facts = inspect(written(tmp_path, GPT_NEO | {"pad_token_id": 3}, saved))
    assert facts.eos == (7, 9) and facts.bos == 50256 and facts.pad == 3
    shipped = json.loads(facts.written_files["generation_config.json"])
    assert shipped == {
        "bos_token_id": 50256,
        "eos_token_id": [7, 9],
        "pad_token_id": 3,
        "max_length": 64,
    }


def test_a_model_without_generation_config_gets_one(tmp_path: Path) -> None:
    facts = inspect(written(tmp_path, GPT_NEO))
    shipped = json.loads(facts.written_files["generation_config.json"])
    assert shipped == {"bos_token_id": 50256, "eos_token_id": 50256}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_type": "bloom"}, "gpt2, gpt_neo, llama, opt, qwen2"),
        ({"vocab_size": None}, "NoneType"),
        ({"hidden_size": 100}, "do not divide"),
        ({"num_layers": "many"}, "many"),
        ({"num_heads": 0}, "0 heads"),
        ({"eos_token_id": "end"}, "end"),
    ],
)
def test_what_is_not_built_is_refused(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    with pytest.raises(PlanError, match="not one of the family 'causal-lm'") as caught:
        inspect(written(tmp_path, GPT_NEO | change))
    assert why in str(caught.value.why) and str(tmp_path) in str(caught.value.where)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (written(tmp_path, GPT_NEO) / name).unlink()
    with pytest.raises(PlanError) as caught:
        inspect(tmp_path)
    assert caught.value.why == f"there is no {name}"


def test_a_missing_size_is_named(tmp_path: Path) -> None:
    config = {key: value for key, value in GPT_NEO.items() if key != "num_heads"}
    with pytest.raises(PlanError) as caught:
        inspect(written(tmp_path, config))
    assert caught.value.why == "config.json has no 'num_heads'"
