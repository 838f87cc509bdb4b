"""Make the models, adapters and merged models beside this file, with PEFT.

Run where PEFT is installed beside the project's packages:

    python make_adapters.py

Made with peft 0.21.2, accelerate 1.15.0, transformers 5.23.0 and torch 2.13.0. The adapters'
weights are drawn, so that nothing of them is zero; `merged` is the state of `merge_and_unload()`,
by which the tests judge.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

HERE = Path(__file__).parent
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}


def llama(**more: Any) -> Any:
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, **heads, **more))


def gpt2() -> Any:
    config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=16)
    return transformers.GPT2LMHeadModel(config)


def bert() -> Any:
    config = transformers.BertConfig(
        **SMALL, num_attention_heads=2, vocab_size=40, max_position_embeddings=16
    )
    return transformers.BertModel(config)


def classifier() -> Any:
    config = transformers.BertConfig(
        **SMALL, num_attention_heads=2, vocab_size=40, max_position_embeddings=16
    )
    return transformers.BertForSequenceClassification(config)


def resnet() -> Any:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    return transformers.ResNetModel(config)


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any], torch.dtype]] = {
    "plain": (
        llama,
        {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]},
        torch.float32,
    ),
    "rank-stabilized": (
        llama,
        {"r": 4, "lora_alpha": 6, "use_rslora": True, "target_modules": "all-linear"},
        torch.float32,
    ),
    "half": (llama, {"r": 2, "lora_alpha": 4, "target_modules": ["down_proj"]}, torch.bfloat16),
    "patterns": (
        llama,
        {
            "r": 4,
            "lora_alpha": 6,
            "target_modules": ["q_proj", "k_proj"],
            "rank_pattern": {"model.layers.0.self_attn.q_proj": 2},
            "alpha_pattern": {"k_proj": 12},
        },
        torch.float32,
    ),
    "one-layer": (
        llama,
        {"r": 4, "target_modules": ["o_proj"], "layers_to_transform": [1]},
        torch.float32,
    ),
    "tied-words": (
        lambda: llama(tie_word_embeddings=True),
        {"r": 4, "lora_alpha": 6, "target_modules": ["embed_tokens", "q_proj"]},
        torch.float32,
    ),
    "transposed": (
        gpt2,
        {"r": 4, "lora_alpha": 6, "target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True},
        torch.float32,
    ),
    "biases": (
        bert,
        {"r": 4, "lora_alpha": 6, "target_modules": ["query", "value"], "bias": "all"},
        torch.float32,
    ),
    "lora-biases": (
        bert,
        {"r": 4, "lora_alpha": 6, "target_modules": ["query"], "bias": "lora_only"},
        torch.float32,
    ),
    "whole-modules": (
        classifier,
        {"r": 4, "target_modules": ["query"], "modules_to_save": ["classifier"]},
        torch.float32,
    ),
    "convolutions": (
        resnet,
        {"r": 2, "lora_alpha": 3, "target_modules": ["convolution"]},
        torch.float32,
    ),
    "weight-decomposed": (
        llama,
        {"r": 4, "target_modules": ["q_proj"], "use_dora": True},
        torch.float32,
    ),
}


def make(name: str) -> None:
    build, settings, dtype = CASES[name]
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    model = build()
    model.to(dtype).save_pretrained(folder / "model")
    tuned = get_peft_model(model, LoraConfig(**settings))
    with torch.no_grad():
        for value in tuned.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape) / 4)
    tuned.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink()
    # As a build loads it: in fp32, from the files.
    base = type(model).from_pretrained(folder / "model", dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, folder / "adapter").merge_and_unload()
    state = {key: value.clone().contiguous() for key, value in merged.state_dict().items()}
    save_file(state, folder / "merged.safetensors")


if __name__ == "__main__":
    for case in CASES:
        make(case)
