"""References of text encoders: texts, their token ids, and the library's embeddings.

reference.json   kind, texts, how many strange ones are at their end, pooling, normalization
reference.npz    token_ids [all tokens], lengths [texts], embeddings [texts, dimensions]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import run_named
from olive_build.errors import StepError
from olive_build.proof.embedding import (
    Floats,
    agreement,
    largest_difference,
    pool,
)

# The output of a graph that pools by itself.
EMBEDDING = "sentence_embedding"
BATCH = 8
GROUPS = 8

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EmbeddingReference:
    """Texts, their token ids, and the embeddings of SentenceTransformer.encode.

    The last `strange` texts are no data: they are held to the largest difference alone. Graphs that
    give hidden states have them pooled by `pooling`, as clients do.
    """

    texts: tuple[str, ...]
    token_ids: tuple[npt.NDArray[np.int64], ...]
    embeddings: Floats
    pooling: str
    normalize: bool
    strange: int = 0

    kind: ClassVar[str] = "embedding"
    metric: ClassVar[str] = "cosine"
    samples: ClassVar[str] = "texts"

    @property
    def count(self) -> int:
        return len(self.texts) - self.strange

    @property
    def expected(self) -> Floats:
        return self.embeddings

    def batches(self) -> list[Rows]:
        """Return the rows of each padded batch: shuffled within each eighth of the lengths.

        Lengths in a batch then differ by a third or two thirds, as in an application that sorts
        its texts roughly; without any order most of the work would be padding.
        """
        lengths = np.array([len(ids) for ids in self.token_ids])
        shuffle = np.random.default_rng(0).permutation
        eighths = np.array_split(np.argsort(lengths, kind="stable"), GROUPS)
        return [
            rows[start : start + BATCH]
            for rows in map(shuffle, eighths)
            for start in range(0, len(rows), BATCH)
        ]

    def run(self, session: Any, rows: Rows) -> Floats:
        """Return the embeddings [rows, dimensions] that a file gives.

        One that takes `text` is given the texts; one that takes token ids is given those, padded,
        and its last_hidden_state is pooled here where that is what it gives.
        """
        if "text" in {value.name for value in session.get_inputs()}:
            texts = np.array([self.texts[row] for row in rows], dtype=object)
            output = run_named(session, {"text": texts})[0]
        else:
            output = self._pooled(session, [self.token_ids[row] for row in rows])
        expected = (len(rows), self.embeddings.shape[1])
        if output.shape != expected:
            raise StepError(
                "the model's output has another shape than PyTorch's",
                why=f"it is {list(output.shape)}; {list(expected)} is expected",
            )
        return output.astype(np.float32)

    def _pooled(self, session: Any, token_ids: list[npt.NDArray[np.int64]]) -> Floats:
        """Return the pooled rows; a file of fixed shapes is given its own batches and length."""
        fixed = [size if isinstance(size, int) else None for size in session.get_inputs()[0].shape]
        batch = fixed[0] or len(token_ids)
        length = fixed[1] or max(len(ids) for ids in token_ids)
        parts = [token_ids[start : start + batch] for start in range(0, len(token_ids), batch)]
        pooled = [self._pooled_batch(session, part, (batch, length)) for part in parts]
        return np.concatenate(pooled)

    def _pooled_batch(
        self, session: Any, token_ids: list[npt.NDArray[np.int64]], shape: tuple[int, int]
    ) -> Floats:
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, tokens in enumerate(token_ids):
            kept = tokens[: shape[1]]
            ids[row, : len(kept)] = kept
            mask[row, : len(kept)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        outputs = run_named(session, feeds)
        names = [value.name for value in session.get_outputs()]
        if EMBEDDING in names:
            return outputs[names.index(EMBEDDING)][: len(token_ids)]
        hidden = outputs[0]
        if hidden.ndim != 3:
            raise StepError(
                "the model's first output is no hidden state",
                why=f"it has the shape {list(hidden.shape)}; "
                "[batch, sequence, dimensions] is expected",
            )
        return pool(hidden, mask, self.pooling, self.normalize)[: len(token_ids)]

    def compare(self, candidate: Floats, expected: Floats) -> dict[str, float]:
        """Return how near [texts, dimensions] are to others, strange texts apart."""
        data = slice(0, self.count)
        difference = {"embedding_difference": largest_difference(candidate, expected)}
        return agreement(candidate[data], expected[data]) | difference

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what reference.json and reference.npz hold."""
        described = {
            "pooling": self.pooling,
            "normalize": self.normalize,
            "strange": self.strange,
            "texts": list(self.texts),
        }
        return described, {
            "token_ids": np.concatenate(self.token_ids),
            "lengths": np.array([len(ids) for ids in self.token_ids], np.int64),
            "embeddings": self.embeddings,
        }

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> EmbeddingReference:
        """Return the reference of what was stored. Raises ValueError, KeyError or TypeError."""
        ids = np.split(arrays["token_ids"], np.cumsum(arrays["lengths"])[:-1])
        embeddings = arrays["embeddings"]
        if not len(described["texts"]) == len(ids) == len(embeddings):
            raise ValueError("texts, token ids and embeddings differ in number")
        return EmbeddingReference(
            tuple(described["texts"]),
            tuple(ids),
            embeddings.astype(np.float32),
            str(described["pooling"]),
            bool(described["normalize"]),
            int(described["strange"]),
        )


REFERENCE = EmbeddingReference
