"""BERT and DistilBERT with a classifier of texts: trained on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.families.registry import ONLY_TRAINS, Family

if TYPE_CHECKING:
    from olive_build.families.facts import Facts


def _inspect(folder: Path) -> Facts:
    from olive_build.families.text_classification.spec import inspect

    return inspect(folder)


FAMILY = Family(
    name="text-classification",
    inspect=_inspect,
    tasks=("text-classification",),
    samples="texts",
    takes=("input_ids", "input_ids"),
    size_unit="texts",
    description="BERT and DistilBERT with a classifier of texts: trained on a device",
    axes=(("batch_size", 1), ("sequence_length", 128)),
    classes=("ForSequenceClassification",),
    **ONLY_TRAINS,
)
