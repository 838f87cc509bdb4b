"""How close vectors are to the reference's.

The limits were measured on held-out sentences with all-MiniLM-L6-v2, and on the test images of
recipes/characters: a sound conversion of that precision keeps them, a broken layer does not.
"""

from __future__ import annotations

from olive_build.proof.figures import CORRELATION, DIFFERENCE, Figure, Limits

# Vectors of texts, and logits of images; cosines of logits say little of answers that are right or
# wrong, so the names of variants promise nothing of them.
TEXTS, IMAGES, TASKS = "cosine", "accuracy", "agreement"
_LOWEST = {"fp32": 0.99999, "fp16": 0.999}
_P1 = {"int8": 0.98, "weight-int8": 0.98, "int4": 0.93, "w8a8": 0.9, "w8a16": 0.99}
# Over the largest number, differences find what cosines do not see, such as vectors of another
# length: MiniLM has 7e-7 in fp32, 8e-4 in fp16, .02 to .085 in int8, .16 in int4.
_DIFFERENCES = {
    "fp32": 1e-4,
    "fp16": 0.01,
    "int8": 0.3,
    "weight-int8": 0.3,
    "int4": 0.5,
    "w8a8": 0.5,
    "w8a16": 0.3,
}

FIGURES = (
    Figure(
        "cosine_lowest",
        "cosine, lowest",
        CORRELATION,
        "more",
        short="Lowest cosine",
        budget="The least cosine to PyTorch's output that any sample may have.",
        metrics={
            TEXTS: Limits(_LOWEST, {"fast": 0.996}),
            IMAGES: Limits(_LOWEST),
            TASKS: Limits(_LOWEST),
        },
        never_above=("cosine_p1", "cosine_mean"),
        drawn=6,
        told=(TEXTS, IMAGES),
    ),
    Figure(
        "cosine_p1",
        "cosine, first percentile",
        CORRELATION,
        "more",
        short="Cosine p1",
        budget="The least first percentile of the cosines: 99 of 100 samples must reach it.",
        metrics={
            TEXTS: Limits(_P1, {"fast": 0.998, "faithful": 0.999}),
            IMAGES: Limits(_P1),
            TASKS: Limits(_P1),
        },
        never_above=("cosine_mean",),
        drawn=3,
        tolerance=0.005,
    ),
    Figure(
        "cosine_mean",
        "cosine, mean",
        CORRELATION,
        "more",
        short="Mean cosine",
        budget="The least mean of the cosines.",
        metrics={TEXTS: Limits({}, {"fast": 0.999}), IMAGES: Limits(), TASKS: Limits()},
        drawn=5,
        tolerance=0.002,
    ),
    Figure(
        "spearman",
        "Spearman of similarities",
        CORRELATION,
        "more",
        short="Spearman",
        budget="The least rank correlation of the similarities of all pairs of texts: does "
        "search still rank alike?",
        metrics={TEXTS: Limits({}, {"faithful": 0.9995})},
        drawn=8,
        tolerance=0.005,
    ),
    Figure(
        "embedding_difference",
        "largest difference of an embedding",
        DIFFERENCE,
        "less",
        short="Numbers within",
        budget="The largest difference of any number of an embedding from what "
        "SentenceTransformer.encode gives, over its largest number: of the proof's texts, and of "
        "strange ones (empty, accents, other scripts, too long).",
        metrics={TEXTS: Limits(_DIFFERENCES)},
    ),
)
