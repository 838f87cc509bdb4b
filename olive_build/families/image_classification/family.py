"""Image classifiers that transformers' AutoModelForImageClassification loads."""

from __future__ import annotations

from olive_build.families.registry import Family

FAMILY = Family(
    name="image-classification",
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
