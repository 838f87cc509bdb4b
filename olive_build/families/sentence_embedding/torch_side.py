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

from olive_build.families.loading import Loaded, from_files
from olive_build.families.sentence_embedding.spec import SentenceEmbeddingFacts, inspect
from olive_build.families.sentence_embedding.texts import read_texts
from olive_build.olive_bridge import TorchExport
from olive_build.proof.embedding import pool
from olive_build.proof.embedding_reference import EmbeddingReference

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


def loading(folder: Path) -> Loaded:
    """Return the transformer with what is to be said of its files; see `from_files`."""

    def run(model: torch.nn.Module) -> torch.Tensor:
        given = probe(folder, inspect(folder), PROBE_SHAPES[0])
        hidden: torch.Tensor = Encoder(model)(**{k: torch.from_numpy(v) for k, v in given.items()})
        return hidden

    return from_files(transformers.AutoModel, folder, run, attn_implementation="eager")


def load(folder: Path) -> Encoder:
    """Return the model in eval mode, fp32, with the attention that exports to plain operators."""
    return Encoder(loading(folder).model).eval()


def torch_export(folder: Path, component: str) -> TorchExport:
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


def probe_outputs(
    folder: Path, component: str
) -> list[tuple[dict[str, npt.NDArray[np.int64]], list[Any]]]:
    """Return (inputs, PyTorch's last_hidden_state) at three shapes, for the export's own check."""
    facts = inspect(folder)
    model = load(folder)
    pairs = []
    for shape in PROBE_SHAPES:
        inputs = probe(folder, facts, shape)
        with torch.inference_mode():
            output = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        pairs.append((inputs, [output.numpy()]))
    return pairs


def reference(folder: Path, data: Path, sequence_length: int | None = None) -> EmbeddingReference:
    """Return PyTorch's embeddings of the texts in `data`. Raises StepError for bad data.

    Texts are cut at `sequence_length`, as they are for a file of that fixed length.
    """
    facts = inspect(folder)
    texts = read_texts(data)
    ids = encode(folder, texts, sequence_length)
    embeddings = embed(folder, ids)
    return EmbeddingReference(tuple(texts), tuple(ids), embeddings, facts.pooling, facts.normalize)


def encode(
    folder: Path, texts: list[str], sequence_length: int | None = None
) -> list[npt.NDArray[np.int64]]:
    """Return the token ids of each text, special tokens included, cut at the model's length.

    Or at `sequence_length` where that is shorter.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), use_fast=True)
    longest = inspect(folder).max_length
    limit = min(longest, sequence_length or longest)
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
    pooled: npt.NDArray[np.float32] = forward_rows(model, facts, ids[None])[0]
    return pooled


def forward_rows(
    model: Encoder, facts: SentenceEmbeddingFacts, ids: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the pooled embeddings [texts, dimensions] of unpadded ids [texts, sequence]."""
    inputs = _unpadded(facts, ids)
    with torch.inference_mode():
        hidden = model(**inputs).numpy()
    return pool(hidden, np.ones(ids.shape, np.int64), facts.pooling, facts.normalize)


def _unpadded(facts: SentenceEmbeddingFacts, ids: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
    rows = torch.from_numpy(ids)
    inputs = {
        "input_ids": rows,
        "attention_mask": torch.ones_like(rows),
        "token_type_ids": torch.zeros_like(rows),
    }
    return {name: inputs[name] for name in facts.inputs}


def runner(
    folder: Path, model: Encoder, takes: str, text: str, size: int, batch: int
) -> Callable[[], Any]:
    """Return a call that runs `text`, `batch` times at once, in PyTorch eager, for timing.

    `takes` is `text`, for all that an application does, or `tokens`, for the model alone. Raises
    ValueError when the text has not `size` tokens.
    """
    if encode(folder, [text])[0].size != size:
        raise ValueError(f"the text has not {size} tokens for this tokenizer")
    make = text_runner if takes == "text" else token_runner
    return make(folder, model, text, batch)


def text_runner(folder: Path, model: Encoder, text: str, batch: int = 1) -> Callable[[], Any]:
    """Return a call that embeds `text`, `batch` times at once, in PyTorch eager, for timing.

    It does what an application does: tokenize, run, pool.
    """
    facts = inspect(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), use_fast=True)

    def run() -> npt.NDArray[np.float32]:
        texts = [text] * batch
        ids = tokenizer(texts, truncation=True, max_length=facts.max_length)["input_ids"]
        return forward_rows(model, facts, np.asarray(ids, np.int64))

    return run


def token_runner(folder: Path, model: Encoder, text: str, batch: int = 1) -> Callable[[], Any]:
    """Return a call that runs the model alone on the token ids of `text`, for timing."""
    ids = encode(folder, [text])[0]
    wanted = _unpadded(inspect(folder), np.tile(ids, (batch, 1)))

    def run() -> torch.Tensor:
        with torch.inference_mode():
            hidden: torch.Tensor = model(**wanted)
        return hidden

    return run
