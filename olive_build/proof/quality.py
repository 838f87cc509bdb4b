"""How well a file does what PyTorch does, on stored references. onnxruntime and numpy alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.errors import StepError, first_line
from olive_build.proof.embedding import Agreement, agreement, pool
from olive_build.proof.reference import EmbeddingReference

BATCH = 8
GROUPS = 8


@dataclass(frozen=True)
class Quality:
    """Agreement with PyTorch text by text, and in padded batches of eight of other lengths."""

    single: Agreement
    batched: Agreement
    texts: int

    @property
    def worst(self) -> Agreement:
        """The lower of both, figure by figure: what budgets are held against."""
        one, other = asdict(self.single), asdict(self.batched)
        return Agreement(**{name: min(one[name], other[name]) for name in one})

    def as_json(self) -> dict[str, Any]:
        return {
            **self.worst.as_json(),
            "single": self.single.as_json(),
            "batched": self.batched.as_json(),
            "texts": self.texts,
        }


def measure_quality(model: Path, reference: EmbeddingReference, *, threads: int = 1) -> Quality:
    """Run the .onnx or .ort file on every reference text, singly and in padded batches.

    A file that takes `text` is given the texts; one that takes token ids is given those and its
    last_hidden_state is pooled here. Raises StepError when it cannot be loaded or run.
    """
    session = open_session(model, threads=threads)
    names = {value.name for value in session.get_inputs()}
    embed = _embed_texts if "text" in names else _embed_ids
    batches = _batches(reference)
    order = np.concatenate(batches)
    try:
        single = [embed(session, reference, np.array([i])) for i in range(len(order))]
        padded = [embed(session, reference, rows) for rows in batches]
    except StepError:
        raise
    except Exception as error:
        raise StepError(
            f"onnxruntime cannot run {model.name}",
            why=first_line(error),
        ) from error
    batched = np.empty_like(reference.embeddings)
    batched[order] = np.concatenate(padded)
    return Quality(
        single=agreement(np.concatenate(single), reference.embeddings),
        batched=agreement(batched, reference.embeddings),
        texts=len(order),
    )


def _batches(reference: EmbeddingReference) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each padded batch: shuffled within each eighth of the lengths.

    Lengths in a batch then differ by a third or two thirds, as in an application that sorts its
    texts roughly; without any order most of the work would be padding.
    """
    lengths = np.array([len(ids) for ids in reference.token_ids])
    shuffle = np.random.default_rng(0).permutation
    eighths = np.array_split(np.argsort(lengths, kind="stable"), GROUPS)
    return [
        rows[start : start + BATCH]
        for rows in map(shuffle, eighths)
        for start in range(0, len(rows), BATCH)
    ]


def _embed_texts(
    session: Any, reference: EmbeddingReference, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    texts = np.array([reference.texts[i] for i in rows], dtype=object)
    return _checked(run_named(session, {"text": texts})[0], reference, len(rows))


def _embed_ids(
    session: Any, reference: EmbeddingReference, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    chosen = [reference.token_ids[i] for i in rows]
    shape = (len(chosen), max(len(ids) for ids in chosen))
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, tokens in enumerate(chosen):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = run_named(session, feeds)[0]
    if hidden.ndim != 3:
        raise StepError(
            "the model's first output is no hidden state",
            why=f"it has the shape {list(hidden.shape)}; [batch, sequence, dimensions] is expected",
        )
    pooled = pool(hidden, mask, reference.pooling, reference.normalize)
    return _checked(pooled, reference, len(rows))


def _checked(
    output: npt.NDArray[Any], reference: EmbeddingReference, rows: int
) -> npt.NDArray[np.float32]:
    expected = (rows, reference.embeddings.shape[1])
    if output.shape != expected:
        raise StepError(
            "the model's output has another shape than PyTorch's",
            why=f"it is {list(output.shape)}; {list(expected)} is expected",
        )
    return output.astype(np.float32)
