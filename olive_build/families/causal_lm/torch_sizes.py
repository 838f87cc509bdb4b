"""What a language model of PyTorch keeps between steps, from one forward. Worker processes only."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from olive_build.errors import PlanError, first_line
from olive_build.families.causal_lm.exceptions import not_this_family
from olive_build.families.causal_lm.names import POSITION_IDS
from olive_build.families.causal_lm.sizes import Heads, Sizes

# What holds keys and values of all tokens, or of the latest; other layers hold states.
LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)
TOKENS = 2


def sizes_in(folder: Path) -> Sizes:
    """Return what `sizes_of` does, from config.json alone: no weight is read or made."""
    config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    kind = transformers.AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(config, attn_implementation="eager").eval()
        return sizes_of(plain_experts(model), folder)


def sizes_of(model: Any, folder: Path) -> Sizes:
    """Return what one forward of `model` says of it; `folder` is where it is from.

    Raises PlanError where it keeps other states than keys and values, and where it cannot be run.
    """
    ids = torch.ones(1, TOKENS, dtype=torch.int64, device=model.device)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": True}
    plain = DynamicCache()
    try:
        with torch.no_grad():
            own = getattr(model(**given), "past_key_values", None)
            _check_cache(own, model, folder)
            logits = model(**given, past_key_values=plain).logits
    except PlanError:
        raise
    except Exception as error:
        raise not_this_family(
            folder,
            f"{type(model).__name__} does not run with a cache: {type(error).__name__}: "
            f"{first_line(error)}",
        ) from error
    return Sizes(
        keys=tuple(_heads(layer.keys) for layer in plain.layers),
        values=tuple(_heads(layer.values) for layer in plain.layers),
        vocabulary=logits.shape[-1],
        positions=POSITION_IDS in inspect.signature(model.forward).parameters,
    )


def is_tied(model: Any) -> bool:
    """Whether a model scores words by the table that it looks them up in."""
    scores = model.get_output_embeddings()
    return scores is not None and scores.weight is model.get_input_embeddings().weight


def has_experts(model: Any) -> bool:
    """Whether some layers of a model choose among experts for each token."""
    return getattr(model.config, "_experts_implementation", None) == "grouped_mm"


def plain_experts(model: Any) -> Any:
    """Return `model`, whose experts, if any, are multiplied by operators that ONNX has."""
    if has_experts(model):
        model.set_experts_implementation("batched_mm")
    return model


def _check_cache(cache: Any, model: Any, folder: Path) -> None:
    """Raise PlanError where a cache is anything but keys and values of each layer."""
    if type(cache) is DynamicCache:
        other = [layer for layer in cache.layers if type(layer) not in LAYERS]
        if not other and cache.layers:
            return
        kind = type(other[0]).__name__ if other else "a cache without layers"
    else:
        kind = "no cache" if cache is None else type(cache).__name__
    raise not_this_family(
        folder,
        f"{type(model).__name__} gives {kind} after a step, and those built give keys and values",
    )


def _heads(cached: torch.Tensor) -> Heads:
    return int(cached.shape[1]), int(cached.shape[3])
