"""Image classifiers that transformers' AutoModelForImageClassification loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.families.registry import Family

if TYPE_CHECKING:
    from olive_build.families.facts import Facts


def _inspect(folder: Path) -> Facts:
    from olive_build.families.image_classification.spec import inspect

    return inspect(folder)


FAMILY = Family(
    name="image-classification",
    inspect=_inspect,
    tasks=("image-classification",),
    metrics=("accuracy",),
    data=(),
    calibration=(),
    samples="images",
    data_suffix=".npz",
    miniature_data=("test.npz", "calibration.npz"),
    takes=("image", "pixels"),
    parts=(),
    sizes=(1, 8),
    size_unit="images",
    components=("model",),
    description="Image classifiers that transformers' AutoModelForImageClassification loads",
    convolutional=True,
    options=("train",),
    classes=("ForImageClassification", "ForImageClassificationWithTeacher"),
)
