"""Wav2Vec2 with a classifier, as for speakers or commands: trained on a device."""

from __future__ import annotations

from olive_build.families.registry import ONLY_TRAINS, Family

FAMILY = Family(
    name="audio-classification",
    tasks=("audio-classification",),
    samples="clips",
    takes=("input_values", "input_values"),
    size_unit="clips",
    description="Wav2Vec2 with a classifier, as for speakers or commands: trained on a device",
    axes=(("batch_size", 1), ("samples", 16_000)),
    classes=("ForSequenceClassification",),
    **ONLY_TRAINS,
)
