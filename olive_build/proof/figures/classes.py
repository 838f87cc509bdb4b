"""Figures of a classifier's answers and logits.

The limits were measured on the test images of recipes/characters.
"""

from __future__ import annotations

from olive_build.proof.figures import DIFFERENCE, GREY_LEVELS, POINTS, SHARE, Figure, Limits

IMAGES, TRAINED = "accuracy", "logits"
QUANTIZED = ("int8", "weight-int8", "int4", "w8a8", "w8a16")
_LOSS = {"fp32": 0.1, "fp16": 0.25, **dict.fromkeys(QUANTIZED, 1.0), "int4": 3.0}
# What is rounded once more or less in resizing differs by one grey level of 255.
_ONE_LEVEL = dict.fromkeys(("fp32", "fp16", *QUANTIZED), 1.0)

FIGURES = (
    Figure(
        "accuracy",
        "accuracy",
        SHARE,
        "more",
        budget="The least share of images that it names right: 0.95 is 95 %.",
        metrics={IMAGES: Limits()},
        drawn=4,
        told=(IMAGES,),
    ),
    Figure(
        "accuracy_loss",
        "accuracy lost",
        POINTS,
        "less",
        short="Lost",
        budget="The most that it may lose of PyTorch's accuracy, in points: 0.5 is from 96.0 "
        "to 95.5 %.",
        metrics={IMAGES: Limits(_LOSS, {"fast": 0.5, "faithful": 0.25})},
        tolerance=1.0,
    ),
    Figure(
        "top1_agreement",
        "same first choice",
        SHARE,
        "more",
        short="Same choice",
        budget="The least share of images that it names as PyTorch does.",
        metrics={IMAGES: Limits(), TRAINED: Limits()},
        drawn=7,
    ),
    Figure(
        "picture_agreement",
        "same first choice, pictures of odd sizes",
        SHARE,
        "more",
        short="Odd sizes alike",
        budget="The least share of the proof's own pictures, of odd sizes, that it names as "
        "transformers does, where a grey level more or less does not change the answer.",
        metrics={IMAGES: Limits({"fp32": 1.0})},
        tolerance=0.05,
    ),
    Figure(
        "logits_error",
        "logits, against PyTorch's, largest error",
        DIFFERENCE,
        "less",
        short="Logits off by",
        budget="The largest difference of a logit from PyTorch's on the same pixels, over the "
        "largest logit.",
        metrics={IMAGES: Limits({"fp32": 1e-4})},
    ),
    Figure(
        "pixels_difference",
        "pixels, against transformers', grey levels",
        GREY_LEVELS,
        "less",
        short="Pixels within",
        budget="How far the pixels that it makes of a picture may be from those of "
        "transformers' image processor, in grey levels of 255. Held where a file prepares them.",
        metrics={IMAGES: Limits(_ONE_LEVEL)},
        searched=False,
    ),
    Figure(
        "logits_difference",
        "logits, against PyTorch's, largest difference",
        DIFFERENCE,
        "less",
        short="Logits within",
        told=(TRAINED,),
        # The exported inference model that a training bundle begins with.
        metrics={TRAINED: Limits({"fp32": 1e-4})},
    ),
)
