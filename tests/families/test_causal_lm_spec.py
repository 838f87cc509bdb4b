"""What is read of a language model's configuration, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from olive_build.errors import PlanError
from olive_build.families.causal_lm.sizes import Sizes
from olive_build.families.causal_lm.spec import inspect

GPT_NEO = {
    "model_type": "gpt_neo",
    "max_position_embeddings": 2048,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "pad_token_id": None,
}
LLAMA = {
    "model_type": "llama",
    "max_position_embeddings": 512,
}


def written(folder: Path, config: dict[str, Any], generation: dict[str, Any] | None = None) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def test_what_config_json_says(tmp_path: Path) -> None:
    facts = inspect(written(tmp_path, GPT_NEO))
    assert (facts.bos, facts.eos, facts.pad) == (50256, (50256,), None)
    assert facts.architecture == "gpt_neo" and facts.positions == 2048
    assert not facts.is_measured


@pytest.mark.parametrize(
    ("named", "most"),
    [({"n_positions": 77}, 77), ({"max_seq_len": 78}, 78), ({}, None)],
)
def test_the_limit_of_a_text_has_several_names_or_none(
    tmp_path: Path, named: dict[str, int], most: int | None
) -> None:
    bare = {name: value for name, value in GPT_NEO.items() if name != "max_position_embeddings"}
    facts = inspect(written(tmp_path, bare | named))
    assert facts.positions == most
    assert facts.longest == (None if most is None else most - 16)


def test_loading_says_the_rest(tmp_path: Path) -> None:
    sizes = Sizes(((2, 32), (2, 32)), ((2, 32), (2, 16)), 1000, False)
    found = {"sizes": json.loads(json.dumps(sizes.as_json())), "tied": True}
    facts = inspect(written(tmp_path, LLAMA)).measured(found)
    assert facts.sizes == sizes and facts.tied and facts.is_measured
    assert facts.inputs[:3] == ("input_ids", "attention_mask", "past_key_values.0.key")
    assert len(facts.inputs) == 2 + 2 * 2
    (component,) = facts.components
    assert component.attentions == 2 and component.tied and component.cached


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
        ({"max_position_embeddings": 0}, "0 positions"),
        ({"max_position_embeddings": "many"}, "many"),
        ({"eos_token_id": "end"}, "end"),
        ({"model_type": "recurrent_gemma"}, "'recurrent_gemma': "),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "'dynamic': "),
        ({"rope_scaling": {"type": "longrope"}}, "'longrope': "),
        ({"rope_parameters": {"full": {"rope_type": "longrope"}}}, "'longrope': "),
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


def test_a_configuration_without_a_kind_is_named(tmp_path: Path) -> None:
    config = {key: value for key, value in GPT_NEO.items() if key != "model_type"}
    with pytest.raises(PlanError) as caught:
        inspect(written(tmp_path, config))
    assert caught.value.why == "config.json has no 'model_type'"
