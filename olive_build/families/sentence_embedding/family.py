"""Text encoders that give one vector a text, as sentence-transformers saves."""

from __future__ import annotations

from olive_build.families.registry import Family

FAMILY = Family(
    name="sentence-embedding",
    tasks=("feature-extraction", "sentence-similarity"),
    metrics=("cosine",),
    data=("sentences",),
    calibration=("calibration-sentences",),
    samples="texts",
    data_suffix=".jsonl",
    takes=("text", "tokens"),
    parts=("tokenizer",),
    sizes=(16, 128),
    size_unit="tokens",
    description="Text encoders that give one vector a text, as sentence-transformers saves",
    axes=(("batch_size", 1), ("sequence_length", 128)),
    encoders=("ForMaskedLM", "ForPreTraining"),
)
