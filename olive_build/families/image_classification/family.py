"""Image classifiers that transformers' AutoModelForImageClassification loads."""

from __future__ import annotations

from olive_build.families.registry import Family

FAMILY = Family(
    name="image-classification",
    tasks=("image-classification",),
    metrics=("accuracy",),
    samples="images",
    data_suffix=".npz",
    miniature_data=("test.npz", "calibration.npz"),
    takes=("image", "pixels"),
    sizes=(1, 8),
    size_unit="images",
    description="Image classifiers that transformers' AutoModelForImageClassification loads",
    convolutional=True,
    options=("train",),
    classes=("ForImageClassification", "ForImageClassificationWithTeacher"),
)
