"""Figures of tasks: whether a file answers what the library answers.

That is agreement with PyTorch, not accuracy: no truth is known of samples without labels.
"""

from __future__ import annotations

from olive_build.proof.figures import DIFFERENCE, SHARE, Figure, Limits

TASKS = "agreement"
# One of some dozens of answers may be a draw, which single precision decides either way.
_ANSWERS = {
    "fp32": 0.98,
    "fp16": 0.97,
    "int8": 0.9,
    "weight-int8": 0.9,
    "int4": 0.8,
    "w8a8": 0.85,
    "w8a16": 0.9,
}
_DIFFERENCES = {"fp32": 1e-4, "fp16": 0.02}

FIGURES = (
    Figure(
        "answer_agreement",
        "answers as the library's",
        SHARE,
        "more",
        short="Same answers",
        budget="The least agreement of answers with those of transformers' own pipeline, as the "
        "task counts it (docs/tasks.md): labels, spans, boxes, masks or texts.",
        metrics={TASKS: Limits(_ANSWERS)},
        drawn=9,
        told=(TASKS,),
        tolerance=0.05,
    ),
    Figure(
        "outputs_difference",
        "largest difference of an output",
        DIFFERENCE,
        "less",
        short="Numbers within",
        budget="The largest difference of any number that the network gives from PyTorch's, over "
        "its largest number.",
        metrics={TASKS: Limits(_DIFFERENCES)},
        tolerance=0.3,
    ),
)
