"""The PyTorch side of a classifier of texts that goes on learning. Imported in workers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import transformers

from olive_build.families.training_side import BATCH, Arrays, TrainingSide

# Where the length is free.
EXAMPLE_LENGTH = 32


def _examples(folder: Path, batch: int, shapes: Mapping[str, int], seed: int) -> Arrays:
    """Return seeded tokens [batch, sequence_length]; rows end in padding of different lengths."""
    config = transformers.AutoConfig.from_pretrained(str(folder))
    length = shapes.get("sequence_length", min(EXAMPLE_LENGTH, config.max_position_embeddings))
    random = np.random.default_rng(seed)
    ids = random.integers(0, config.vocab_size, (batch, length), dtype=np.int64)
    ends = random.integers(length // 2, length, batch, endpoint=True)
    mask = (np.arange(length) < ends[:, None]).astype(np.int64)
    return {"input_ids": np.where(mask, ids, config.pad_token_id or 0), "attention_mask": mask}


side = TrainingSide(
    transformers.AutoModelForSequenceClassification,
    dict.fromkeys(("input_ids", "attention_mask"), (BATCH, "sequence_length")),
    _examples,
)
loading = side.loading
