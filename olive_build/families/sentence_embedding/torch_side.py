"""The PyTorch side of a sentence-embedding model: what is exported, and what it must agree with.

Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from olive_build.families.sentence_embedding.spec import SentenceEmbeddingFacts, inspect
from olive_build.olive_bridge import TorchExport
from olive_build.proof.embedding import pool

OUTPUT = "last_hidden_state"
# Traced with sizes that are no powers of two, so that no axis is taken for a constant.
EXAMPLE_SHAPE = (2, 17)
PROBE_SHAPES = ((1, 16), (2, 7), (3, 33))


class Encoder(torch.nn.Module):
    """The transformer with named inputs and one output.

    last_hidden_state is [batch_size, sequence_length, hidden].
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **segments)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden


def load(folder: Path) -> Encoder:
    """Return the model in eval mode, fp32, with the attention that exports to plain operators."""
    model = transformers.AutoModel.from_pretrained(
        str(folder), attn_implementation="eager", dtype=torch.float32, use_safetensors=True
    )
    return Encoder(model).eval()


def torch_export(folder: Path) -> TorchExport:
    """Return what Olive's conversion needs; batch and sequence are dynamic."""
    facts = inspect(folder)
    axes = {0: "batch_size", 1: "sequence_length"}
    return TorchExport(
        load=lambda: load(folder),
        example=lambda: {
            name: torch.from_numpy(value)
            for name, value in probe(folder, facts, EXAMPLE_SHAPE).items()
        },
        inputs=facts.inputs,
        outputs=(OUTPUT,),
        dynamic_axes=dict.fromkeys((*facts.inputs, OUTPUT), axes),
    )


def probe(
    folder: Path, facts: SentenceEmbeddingFacts, shape: tuple[int, int]
) -> dict[str, npt.NDArray[np.int64]]:
    """Return seeded inputs [batch_size, sequence_length]; the last row is padded at its end."""
    vocabulary = transformers.AutoConfig.from_pretrained(str(folder)).vocab_size
    ids = np.random.default_rng(0).integers(0, vocabulary, shape, dtype=np.int64)
    mask = np.ones(shape, np.int64)
    if shape[0] > 1:
        mask[-1, shape[1] // 2 :] = 0
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}
    return {name: inputs[name] for name in facts.inputs}


def probe_outputs(folder: Path) -> list[tuple[dict[str, npt.NDArray[np.int64]], Any]]:
    """Return (inputs, PyTorch's last_hidden_state) at three shapes, for the export's own check."""
    facts = inspect(folder)
    model = load(folder)
    pairs = []
    for shape in PROBE_SHAPES:
        inputs = probe(folder, facts, shape)
        with torch.inference_mode():
            output = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        pairs.append((inputs, output.numpy()))
    return pairs


def encode(folder: Path, texts: list[str]) -> list[npt.NDArray[np.int64]]:
    """Return the token ids of each text, special tokens included, cut at the model's length."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), use_fast=True)
    limit = inspect(folder).max_length
    encoded = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
    return [np.asarray(ids, np.int64) for ids in encoded]


def embed(folder: Path, token_ids: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
    """Return PyTorch's embedding of each text on its own: [texts, dimensions]."""
    facts = inspect(folder)
    model = load(folder)
    rows = [forward(model, facts, ids) for ids in token_ids]
    return np.stack(rows)


def forward(
    model: Encoder, facts: SentenceEmbeddingFacts, ids: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the pooled embedding [dimensions] of one text's token ids."""
    row = torch.from_numpy(ids[None])
    inputs = {
        "input_ids": row,
        "attention_mask": torch.ones_like(row),
        "token_type_ids": torch.zeros_like(row),
    }
    with torch.inference_mode():
        hidden = model(**{name: inputs[name] for name in facts.inputs}).numpy()
    mask = np.ones((1, len(ids)), np.int64)
    pooled: npt.NDArray[np.float32] = pool(hidden, mask, facts.pooling, facts.normalize)[0]
    return pooled


def text_runner(folder: Path, model: Encoder, text: str) -> Callable[[], Any]:
    """Return a call that embeds `text` in PyTorch eager as an application would, for timing."""
    facts = inspect(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), use_fast=True)

    def run() -> npt.NDArray[np.float32]:
        ids = tokenizer(text, truncation=True, max_length=facts.max_length)["input_ids"]
        return forward(model, facts, np.asarray(ids, np.int64))

    return run


def token_runner(folder: Path, model: Encoder, text: str) -> Callable[[], Any]:
    """Return a call that runs the model alone on the token ids of `text`, for timing."""
    facts = inspect(folder)
    row = torch.from_numpy(encode(folder, [text])[0][None])
    inputs = {
        "input_ids": row,
        "attention_mask": torch.ones_like(row),
        "token_type_ids": torch.zeros_like(row),
    }
    wanted = {name: inputs[name] for name in facts.inputs}

    def run() -> torch.Tensor:
        with torch.inference_mode():
            hidden: torch.Tensor = model(**wanted)
        return hidden

    return run
