"""PyTorch language models that look like sessions of their exported graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers.cache_utils import DynamicCache

VOCABULARY, HEADS, LAYERS, SIZE = 61, 2, 2, 8


def gpt_neo() -> Any:
    """Return a seeded GPT-Neo whose second layer sees four tokens."""
    torch.set_num_threads(1)  # threads of so small a model wait for each other
    torch.manual_seed(0)
    config = transformers.GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=HEADS * SIZE,
        num_layers=LAYERS,
        num_heads=HEADS,
        attention_types=[[["global", "local"], 1]],
        window_size=4,
        max_position_embeddings=64,
        initializer_range=0.4,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPTNeoForCausalLM(config).eval()


@dataclass(frozen=True)
class Value:
    """An input or output, as onnxruntime describes its own."""

    name: str
    type: str
    shape: tuple[int | str, ...]


class TorchSession:
    """Has the ends of a graph with a cache, and runs a PyTorch model in fp32.

    `half` declares the cache as float16, `changes` replaces values by name on their way out, and
    `without` leaves ends out.
    """

    def __init__(
        self,
        model: Any,
        *,
        half: bool = False,
        changes: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        heads: int | str = HEADS,
    ) -> None:
        self.model, self.half = model, half
        self.changes, self.without, self.heads = changes or {}, without, heads
        self.fed: list[dict[str, npt.NDArray[Any]]] = []

    def get_inputs(self) -> list[Value]:
        kind = "tensor(float16)" if self.half else "tensor(float)"
        cache = ("batch_size", self.heads, "past_sequence_length", SIZE)
        tokens = [
            Value("input_ids", "tensor(int64)", ("batch_size", "sequence_length")),
            Value("attention_mask", "tensor(int64)", ("batch_size", "total_sequence_length")),
            Value("position_ids", "tensor(int64)", ("batch_size", "sequence_length")),
        ]
        past = [Value(name, kind, cache) for name in _names("past_key_values")]
        return [value for value in (*tokens, *past) if value.name not in self.without]

    def get_outputs(self) -> list[Value]:
        names = ("logits", *_names("present"))
        return [Value(name, "tensor(float)", ()) for name in names if name not in self.without]

    def run(self, names: None, feeds: Mapping[str, Any], /) -> list[npt.NDArray[Any]]:
        self.fed.append(dict(feeds))
        given = {name: torch.from_numpy(value) for name, value in feeds.items()}
        past = [given[name].float() for name in _names("past_key_values")]
        cache = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        with torch.inference_mode():
            output = self.model(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                position_ids=given["position_ids"],
                past_key_values=cache,
                use_cache=True,
            )
        dtype = np.float16 if self.half else np.float32
        caches = [value for layer in cache.layers for value in (layer.keys, layer.values)]
        found = dict(
            zip(
                ("logits", *_names("present")),
                (value.numpy().astype(dtype) for value in (output.logits, *caches)),
                strict=True,
            )
        )
        found = {name: self.changes.get(name, lambda v: v)(value) for name, value in found.items()}
        return [found[value.name] for value in self.get_outputs()]


def _names(prefix: str) -> list[str]:
    return [f"{prefix}.{layer}.{what}" for layer in range(LAYERS) for what in ("key", "value")]
