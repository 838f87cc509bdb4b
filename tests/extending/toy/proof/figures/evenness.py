"""A figure that is not in the product: how alike the lengths of vectors are to PyTorch's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from olive_build.proof.figures import DIFFERENCE, SHARE, Figure, Limits

if TYPE_CHECKING:
    from olive_build.proof.reference import Reference


def evenness(reference: Reference, candidate: Any, expected: Any) -> float:
    """Return the worst ratio of lengths, the shorter over the longer: [texts, values]."""
    import numpy as np

    lengths = np.stack([np.linalg.norm(rows, axis=1) for rows in (candidate, expected)])
    return float((lengths.min(axis=0) / lengths.max(axis=0)).min())


FIGURES = (
    Figure(
        "evenness",
        "evenness of lengths",
        SHARE,
        "more",
        short="Even",
        budget="The least ratio of a vector's length to that of PyTorch's.",
        metrics={
            "cosine": Limits({"int8": 0.5}, {"faithful": 0.9}),
            "evenness": Limits({"fp32": 0.999, "weight-int8": 0.9}),
        },
        told=("cosine", "evenness"),
        measure=evenness,
    ),
    Figure(
        "longest_difference",
        "lengths that differ most",
        DIFFERENCE,
        "less",
        metrics={"evenness": Limits({"fp32": 1e-4})},
    ),
)
