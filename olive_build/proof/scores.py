"""Answers of a classifier: what is made of its logits. numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SOFTMAX, SIGMOID, NONE = "softmax", "sigmoid", "none"


def scores_of(logits: npt.NDArray[np.float32], function: str) -> npt.NDArray[np.float64]:
    """Return scores [samples, classes] of logits. Raises ValueError for an unknown function."""
    values = logits.astype(np.float64)
    if function == NONE:
        return values
    if function == SIGMOID:
        return np.asarray(1 / (1 + np.exp(-values)))
    if function == SOFTMAX:
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    raise ValueError(f"there is no function '{function}' from logits to scores")
