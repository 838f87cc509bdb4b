"""The PyTorch side of a classifier of texts that goes on learning. Imported in workers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from olive_build.families.loading import Loaded
from olive_build.families.still import load_still

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "logits"
# Rows of the inputs by which it is found out what outputs read.
PROBE_BATCH = 2
# Where the length is free.
EXAMPLE_LENGTH = 32


def loading(folder: Path, head: str | None = None) -> Loaded:
    """Return the model with what is to be said of its files.

    What they lack of `head`, the layer that a new one takes the place of, is zero. Raises PlanError
    where an output reads anything else that they lack.
    """

    def run(model: torch.nn.Module) -> torch.Tensor:
        given = examples(folder, PROBE_BATCH, {}, 0)
        return forward(model, *(torch.from_numpy(given[name]) for name in INPUTS))

    return load_still(transformers.AutoModelForSequenceClassification, folder, run, head)


def load(folder: Path, head: str | None = None) -> torch.nn.Module:
    """Return the model in eval mode, fp32; nothing is dropped by chance.

    The word of padding learns like any other, as it
    does in a graph, which knows no such exception.
    """
    model: torch.nn.Module = loading(folder, head).model
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None
    return model


def forward(
    model: torch.nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """Return logits [batch_size, classes] of tokens [batch_size, sequence_length]."""
    logits: torch.Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
    return logits


def axes(shapes: Mapping[str, int]) -> dict[str, tuple[int | str, ...]]:
    """Return the first axes of each input and of the output: a number, or a name where free.

    Axes that are not named are the model's own, as `examples` and `forward` have them.
    """
    batch: int | str = shapes.get("batch_size", "batch_size")
    tokens = (batch, shapes.get("sequence_length", "sequence_length"))
    return {**dict.fromkeys(INPUTS, tokens), OUTPUT: (batch,)}


def examples(
    folder: Path, batch: int, shapes: Mapping[str, int], seed: int
) -> dict[str, npt.NDArray[Any]]:
    """Return seeded tokens [batch, sequence_length]; rows end in padding of different lengths."""
    config = transformers.AutoConfig.from_pretrained(str(folder))
    length = shapes.get("sequence_length", min(EXAMPLE_LENGTH, config.max_position_embeddings))
    random = np.random.default_rng(seed)
    ids = random.integers(0, config.vocab_size, (batch, length), dtype=np.int64)
    ends = random.integers(length // 2, length, batch, endpoint=True)
    mask = (np.arange(length) < ends[:, None]).astype(np.int64)
    return {"input_ids": np.where(mask, ids, config.pad_token_id or 0), "attention_mask": mask}
