"""The PyTorch side of a causal language model: what is exported, and what it must agree with.

Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers.cache_utils import DynamicCache
from transformers.pytorch_utils import Conv1D

from olive_build.families.causal_lm.exceptions import load_exceptions
from olive_build.families.causal_lm.names import (
    ATTENTION_MASK,
    INPUT_IDS,
    POSITION_IDS,
    axes,
    input_names,
    output_names,
    past_names,
)
from olive_build.families.causal_lm.sizes import Sizes
from olive_build.families.causal_lm.torch_generation import reference_of, runner
from olive_build.families.causal_lm.torch_sizes import (
    has_experts,
    is_tied,
    plain_experts,
    sizes_in,
    sizes_of,
)
from olive_build.families.loading import Loaded, from_files
from olive_build.olive_bridge import TorchExport
from olive_build.proof.references.generation import GenerationReference

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


__all__ = ["load", "loading", "reference", "runner", "torch_export"]

CACHE = "past"
# By this its rules take a constant for 0: abs_tol in onnxscript/rewriter/_pattern_ir.py.
AS_GOOD_AS_ZERO = 1e-8
EXPERTS = (
    "its experts stay in fp32 in variants of 8 and 4 bits: a token's are chosen by index, and "
    "quantizers do not find weights that are not multiplied as they lie"
)
# Traced with sizes that are no powers of two, so that no axis is taken for a constant.
EXAMPLE = (2, 3, 5)
# Rows, tokens of the step, tokens before it: a prompt, a later token, and a batch of both.
PROBES = ((1, 6, 0), (1, 1, 7), (3, 4, 9))


def load(folder: Path, attention: str = "sdpa") -> Any:
    """Return the model in eval mode, in fp32 whatever its weights are stored in.

    `attention` is transformers' implementation: sdpa as it is by default, where the architecture
    has it, and is timed; eager is what exports to plain operators.
    """
    return loading(folder, attention).model


def loading(folder: Path, attention: str = "sdpa") -> Loaded:
    """Return the model with what is to be said of its files, and its sizes; see `from_files`."""

    def run(model: Any) -> Any:
        return model(input_ids=torch.ones(1, PROBES[0][1], dtype=torch.int64)).logits

    given = {} if attention == "sdpa" else {"attn_implementation": attention}
    found = from_files(transformers.AutoModelForCausalLM, folder, run, **given)
    measured = {"sizes": sizes_of(found.model, folder).as_json(), "tied": is_tied(found.model)}
    notes = (*found.notes, *([EXPERTS] if has_experts(found.model) else []))
    return replace(found, measured=measured, notes=notes)


def reference(folder: Path, data: Path, **options: str) -> GenerationReference:
    """Return what PyTorch says of the texts in `data` and writes. Raises StepError for bad data.

    `options` are what the recipe says of generation.
    """
    return reference_of(folder, load(folder), data, options)


class OwnMasks(torch.nn.Module):
    """Some tokens after those in the cache: their logits, and the longer cache.

    Each sees what the model's own masks let it see: that is what the graph must agree with.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model

    def seen(self, attention_mask: torch.Tensor, count: int) -> Any:
        """Return the mask of the last `count` tokens; `attention_mask` is 0 for padding."""
        return attention_mask

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        *,
        past: Mapping[str, torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        cache = cache_of(past)
        where = {} if position_ids is None else {POSITION_IDS: position_ids}
        output = self.model(
            input_ids=input_ids,
            attention_mask=self.seen(attention_mask, input_ids.shape[1]),
            past_key_values=cache,
            use_cache=True,
            **where,
        )
        return (output.logits, *present_of(cache))


class Step(OwnMasks):
    """The same as it is exported, with the operators that quantizers and ONNX know."""

    def __init__(self, model: Any) -> None:
        super().__init__(plain_experts(model))
        use_plain_products(model)
        keep_epsilons(model)


class MaskedStep(Step):
    """A step whose masks are worked out here, once for all layers.

    Which tokens each of them sees comes from the lengths and the attention mask alone.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.windows = windows(model.config)
        self.give_masks = mask_gpt_neo(model) if model.config.model_type == "gpt_neo" else None

    def seen(self, attention_mask: torch.Tensor, count: int) -> Any:
        masks = {
            kind: additive_mask(attention_mask, count, window)
            for kind, window in self.windows.items()
        }
        if self.give_masks is not None:
            self.give_masks(masks)
        elif len(masks) > 1:
            return masks
        return masks[FULL]


def step_of(model: Any) -> Step:
    """Return the step that is exported of a model, whose attention is eager."""
    masked = model.config.model_type in load_exceptions().masked
    return MaskedStep(model) if masked else Step(model)


def keep_epsilons(model: torch.nn.Module) -> None:
    """Raise what normalizations add to just above what the exporter's optimizer takes for 0.

    It drops what is added and is 1e-8 or less, so that rows of zeros, such as the vectors of
    padding tokens, become no numbers. The difference is below fp32's resolution in all other rows.
    """
    for module in model.modules():
        for name in ("eps", "epsilon", "variance_epsilon"):
            value = getattr(module, name, None)
            if isinstance(value, float) and 0 < value <= AS_GOOD_AS_ZERO:
                setattr(module, name, 1.1 * AS_GOOD_AS_ZERO)


def use_plain_products(model: torch.nn.Module) -> None:
    """Let GPT-2's layers multiply as all others do.

    Theirs flatten the tokens for a Gemm, which the quantizers of weights do not take.
    """
    for module in model.modules():
        if isinstance(module, Conv1D):
            module.forward = partial(_product, module)


def _product(module: Any, x: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = torch.matmul(x, module.weight) + module.bias
    return product


def cache_of(past: Mapping[str, torch.Tensor]) -> DynamicCache:
    """Return transformers' cache of keys and values that stand in the order of the layers."""
    values = list(past.values())
    return DynamicCache(list(zip(values[::2], values[1::2], strict=True)))


def present_of(cache: Any) -> list[torch.Tensor]:
    """Return a cache's keys and values in the order of the layers."""
    return [value for layer in cache.layers for value in (layer.keys, layer.values)]


def torch_export(folder: Path, component: str) -> TorchExport:
    """Return what Olive's conversion needs; batch and lengths are dynamic."""
    sizes = sizes_in(folder)
    return TorchExport(
        load=lambda: step_of(load(folder, "eager")),
        example=lambda: probe(sizes, *EXAMPLE),
        inputs=input_names(sizes),
        outputs=output_names(sizes),
        dynamic_axes=axes(sizes),
        grouped={CACHE: past_names(sizes.layers)},
        probes=lambda: [probe(sizes, *each) for each in PROBES],
        judge=lambda: OwnMasks(load(folder)),
    )


def probe(sizes: Sizes, batch: int, count: int, past: int) -> dict[str, npt.NDArray[Any]]:
    """Return seeded inputs: `count` tokens for each of `batch` rows, after `past` others.

    The first row of several is padded on its left.
    """
    random = np.random.default_rng(0)
    mask = np.ones((batch, past + count), np.int64)
    if batch > 1:
        mask[0, : max(past - 1, 1)] = 0
    positions = np.clip(mask.cumsum(1) - 1, 0, None)[:, past:]
    feeds: dict[str, npt.NDArray[Any]] = {
        INPUT_IDS: random.integers(0, sizes.vocabulary, (batch, count), dtype=np.int64),
        ATTENTION_MASK: mask,
    }
    if sizes.positions:
        feeds[POSITION_IDS] = positions
    return feeds | {
        name: random.standard_normal((batch, heads, past, size)).astype(np.float32)
        for name, (heads, size) in zip(past_names(sizes.layers), sizes.caches, strict=True)
    }
