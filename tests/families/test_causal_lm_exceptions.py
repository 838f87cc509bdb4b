"""Which models are refused by name, and that any other cache is refused by what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from olive_build.errors import PlanError
from olive_build.families.causal_lm.exceptions import check_exceptions, load_exceptions
from olive_build.families.causal_lm.torch_side import loading
from olive_build.families.causal_lm.torch_sizes import sizes_in, sizes_of

SMALL: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def refusal(folder: Path, config: dict[str, Any]) -> str:
    with pytest.raises(PlanError, match="not one of the family 'causal-lm'") as caught:
        check_exceptions(folder, config)
    return str(caught.value.why)


def test_the_names_are_those_of_transformers() -> None:
    exceptions = load_exceptions()
    assert {*exceptions.refused, *exceptions.masked} <= set(CONFIG_MAPPING)


def test_a_reason_comes_with_its_source(tmp_path: Path) -> None:
    assert "keys and values (the classes of its outputs" in refusal(
        tmp_path, {"model_type": "mamba"}
    )
    why = refusal(tmp_path, {"model_type": "phi3", "rope_scaling": {"type": "longrope"}})
    assert "'longrope': its frequencies change" in why and "modeling_rope_utils.py" in why


@pytest.mark.parametrize(
    ("kind", "gives"),
    [("mamba", "gives no cache"), ("bert", "gives no cache"), ("openai-gpt", "gives no cache")],
)
def test_what_keeps_no_keys_and_values_is_refused_by_what_it_gives(
    tmp_path: Path, kind: str, gives: str
) -> None:
    config = transformers.AutoConfig.for_model(kind, **SMALL)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(PlanError) as caught:
        sizes_of(model, tmp_path)
    assert f"{type(model).__name__} {gives}" in str(caught.value.why)


def test_layers_that_also_keep_states_are_refused(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("minimax", **SMALL, num_local_experts=2)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(PlanError) as caught:
        sizes_of(model, tmp_path)
    assert "gives MiniMaxCache" in str(caught.value.why)


def test_sizes_are_those_of_the_cache_and_of_no_field(tmp_path: Path) -> None:
    """Gemma's heads are larger than its dimensions, and config.json need not say how large."""
    config = transformers.AutoConfig.for_model("gemma", **SMALL).to_dict()
    del config["head_dim"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    sizes = sizes_in(tmp_path)
    assert sizes.keys == sizes.values == ((2, 256),) * 2
    assert (sizes.vocabulary, sizes.layers, sizes.positions, sizes.alike) == (60, 2, True, True)


def test_bloom_is_given_no_positions(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("bloom", **SMALL)
    config.save_pretrained(str(tmp_path))
    assert not sizes_in(tmp_path).positions


@pytest.mark.parametrize(("kind", "told"), [("mixtral", 1), ("llama", 0)])
def test_experts_that_no_quantizer_finds_are_told(tmp_path: Path, kind: str, told: int) -> None:
    config = transformers.AutoConfig.for_model(kind, **SMALL)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(str(tmp_path))
    assert [note.startswith("its experts stay in fp32") for note in loading(tmp_path).notes] == [
        True
    ] * told
