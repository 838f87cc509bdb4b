"""Wav2Vec2 with a classifier, as for speakers or commands: trained on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.families.registry import ONLY_TRAINS, Family

if TYPE_CHECKING:
    from olive_build.families.facts import Facts


def _inspect(folder: Path) -> Facts:
    from olive_build.families.audio_classification.spec import inspect

    return inspect(folder)


FAMILY = Family(
    name="audio-classification",
    inspect=_inspect,
    tasks=("audio-classification",),
    samples="clips",
    takes=("input_values", "input_values"),
    size_unit="clips",
    description="Wav2Vec2 with a classifier, as for speakers or commands: trained on a device",
    axes=(("batch_size", 1), ("samples", 16_000)),
    classes=("ForSequenceClassification",),
    **ONLY_TRAINS,
)
