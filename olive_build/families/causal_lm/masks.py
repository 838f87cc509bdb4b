"""Which tokens each token sees: what is added to attention's scores. For workers only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

# What layers of a window are called: in `layer_types` of config.json, and by GPT-Neo.
FULL, SLIDING = "full_attention", "sliding_attention"
LOCAL = "local"


def windows(config: Any) -> dict[str, int | None]:
    """Return how many tokens back each kind of layer of a model sees, itself included.

    None sees all.
    """
    kinds: dict[str, int | None] = {FULL: None}
    if config.model_type == "gpt_neo" and LOCAL in config.attention_layers:
        kinds[SLIDING] = config.window_size
    elif SLIDING in (getattr(config, "layer_types", None) or ()):
        kinds[SLIDING] = config.sliding_window
    return kinds


def additive_mask(attention_mask: torch.Tensor, count: int, window: int | None) -> torch.Tensor:
    """Return 0 where a token is seen, else the lowest float: [batch, 1, count, total].

    `attention_mask` [batch, total] is 0 for padding. The `count` tokens of this step are the last.
    """
    total = attention_mask.shape[1]
    keys = torch.arange(total)
    queries = torch.arange(total - count, total)[:, None]
    seen = keys <= queries
    if window is not None:
        seen = seen & (keys > queries - window)
    seen = seen[None, None] & (attention_mask[:, None, None, :] != 0)
    return torch.where(seen, 0.0, torch.finfo(torch.float32).min)


def mask_gpt_neo(model: Any) -> Callable[[dict[str, torch.Tensor]], None]:
    """Let a GPT-Neo's layers add the masks that the function is given which this returns.

    They cut their own out of tables of positions x positions, which would be stored in every layer.
    """
    masks: dict[str, torch.Tensor] = {}
    for block in model.transformer.h:
        kind = SLIDING if block.attn.attention_type == LOCAL else FULL
        block.attn.attention._attn = partial(_attend, masks, kind)
    return masks.update


def _attend(
    masks: dict[str, torch.Tensor],
    kind: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention's result and its weights; GPT-Neo does not scale its scores."""
    scores = torch.matmul(query, key.transpose(-1, -2)) + masks[kind]
    weights = torch.nn.functional.softmax(scores, dim=-1)
    return torch.matmul(weights, value), weights
