"""BERT and DistilBERT with a classifier of texts: trained on a device."""

from __future__ import annotations

from olive_build.families.registry import ONLY_TRAINS, Family

FAMILY = Family(
    name="text-classification",
    tasks=("text-classification",),
    samples="texts",
    takes=("input_ids", "input_ids"),
    size_unit="texts",
    description="BERT and DistilBERT with a classifier of texts: trained on a device",
    axes=(("batch_size", 1), ("sequence_length", 128)),
    classes=("ForSequenceClassification",),
    **ONLY_TRAINS,
)
