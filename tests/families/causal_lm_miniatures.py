"""Seeded models of many architectures, exported once, and how both sides write."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from olive_build.clients.onnxruntime_client import open_session
from olive_build.families import module_of
from olive_build.families.causal_lm.miniature import write_tokenizer
from olive_build.families.causal_lm.spec import CausalLmFacts, inspect
from olive_build.families.causal_lm.torch_side import loading
from olive_build.proof.generation import CachedModel
from olive_build.steps.export import Export

VOCABULARY, POSITIONS, END = 359, 128, 0
OPSET = 18
# Weights larger than a trained model's: what was read then decides what comes next.
_KNOWN: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "initializer_range": 0.15,
    "bos_token_id": END,
    "eos_token_id": END,
    "pad_token_id": END,
}
_ROTARY: dict[str, Any] = {
    **_KNOWN,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": POSITIONS,
}


_WINDOW: dict[str, Any] = {"sliding_window": 8}
_TWO_KINDS: dict[str, Any] = {**_WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
# Where seeded weights that are tied find the last token likeliest, whatever came before it.
_UNTIED: dict[str, Any] = {"tie_word_embeddings": False}
_WIDE: dict[str, Any] = {"head_dim": 16}
# By model_type: what the general road exports, and what differs from the sizes above. Windows are
# shorter than the texts of the tests, and a layer of each kind is there.
GENERAL: dict[str, dict[str, Any]] = {
    "arcee": {},
    "bloom": _UNTIED,
    "codegen": {"rotary_dim": 8},
    "cohere": {},
    "cohere2": _TWO_KINDS,
    "ernie4_5": _WIDE,
    "exaone4": _TWO_KINDS,
    "falcon": {},
    "gemma": {**_WIDE, **_UNTIED},
    "gemma2": {**_WIDE, **_WINDOW, **_UNTIED},
    "gemma3_text": {**_WIDE, **_TWO_KINDS, **_UNTIED},
    "glm": _WIDE,
    "glm4": _WIDE,
    "gpt_bigcode": {},
    "gpt_neox": {},
    "gptj": {"rotary_dim": 8},
    "granite": {},
    "helium": _WIDE,
    "mistral": _WINDOW,
    "mixtral": {"num_local_experts": 4},
    "olmo": {},
    "olmo2": {},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "persimmon": {},
    "phi": {},
    "phi3": _WINDOW,
    "qwen2_moe": {
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
        "num_experts": 4,
        "num_experts_per_tok": 2,
    },
    "qwen3": _WIDE,
    "seed_oss": _WIDE,
    "smollm3": {},
    "stablelm": {},
    "starcoder2": _WINDOW,
    "vaultgemma": {**_WIDE, **_WINDOW, **_UNTIED},
}


def configuration(name: str) -> Any:
    """Return a small configuration of one of `configurations`, or of a model_type of `GENERAL`."""
    if name in GENERAL:
        return transformers.AutoConfig.for_model(name, **{**_ROTARY, **GENERAL[name]})
    return configurations()[name]


def configurations() -> dict[str, Any]:
    """Return small configurations of what has masks of ours, and of variants that differ there."""
    neo: dict[str, Any] = {"hidden_size": 64, "num_heads": 4, "max_position_embeddings": POSITIONS}
    return {
        "gpt_neo": transformers.GPTNeoConfig(
            **_KNOWN,
            **neo,
            num_layers=2,
            attention_types=[[["global", "local"], 1]],
            window_size=8,
        ),
        "gpt2": transformers.GPT2Config(
            **_KNOWN, n_embd=64, n_layer=2, n_head=4, n_positions=POSITIONS
        ),
        "opt": transformers.OPTConfig(
            vocab_size=VOCABULARY,
            init_std=0.15,
            hidden_size=64,
            word_embed_proj_dim=64,
            ffn_dim=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=POSITIONS,
            bos_token_id=END,
            eos_token_id=END,
            pad_token_id=1,
        ),
        "llama": transformers.LlamaConfig(**_ROTARY, tie_word_embeddings=False),
        "qwen2": transformers.Qwen2Config(**_ROTARY, tie_word_embeddings=True),
        "qwen2-window": transformers.Qwen2Config(
            **_ROTARY,
            tie_word_embeddings=True,
            use_sliding_window=True,
            sliding_window=8,
            max_window_layers=1,
        ),
    }


@dataclass(frozen=True)
class Exported:
    """A model's folder, its graph, and what is known of it."""

    folder: Path
    graph: Path
    facts: CausalLmFacts

    @functools.cached_property
    def session(self) -> CachedModel:
        """The graph, ready to run."""
        return CachedModel(open_session(self.graph))


@functools.cache
def exported(name: str) -> Exported:
    """Return a seeded model of a `configuration`, saved and exported."""
    folder = Path(tempfile.mkdtemp(prefix=f"causal-lm-{name}-"))
    source, out = folder / "source", folder / "out"
    source.mkdir()
    out.mkdir()
    write_model(name, source)
    Export(module_of("causal-lm", "torch_side"), OPSET).run({"source": source}, out)
    return Exported(source, out / "model.onnx", facts_of(source))


def facts_of(folder: Path) -> CausalLmFacts:
    """Return the facts of a model that was loaded, as a plan has them."""
    return inspect(folder).measured(loading(folder).measured)


def write_model(name: str, folder: Path) -> None:
    """Write a model of a `configuration` with the miniature's tokenizer."""
    write_tokenizer(folder)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(configuration(name))
    model.eval().save_pretrained(str(folder))


def prompts(count: int, length: int) -> list[npt.NDArray[np.int64]]:
    """Return seeded prompts of `length` tokens, none of them the end."""
    random = np.random.default_rng(3)
    return list(random.integers(2, VOCABULARY, (count, length), dtype=np.int64))


@functools.cache
def loaded(folder: Path) -> Any:
    """Return transformers' own model of a folder."""
    return transformers.AutoModelForCausalLM.from_pretrained(str(folder)).eval()


def generate(folder: Path, rows: list[Any], **settings: Any) -> list[tuple[int, ...]]:
    """Return what transformers' generate writes after prompts in one batch, padded on the left."""
    model = loaded(folder)
    longest = max(map(len, rows))
    pad = int(model.generation_config.pad_token_id)
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, longest - len(row) :] = torch.from_numpy(row)
        mask[index, longest - len(row) :] = 1
    with torch.inference_mode():
        found = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, **settings)
    return [tuple(row) for row in found[:, longest:].tolist()]
