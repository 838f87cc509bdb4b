"""From hidden states to embeddings, and how close two sets of embeddings are. numpy only.

Pooling follows sentence-transformers (models/Pooling.py, models/Normalize.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
# sentence-transformers clamps the token count; the graph does the same.
SMALLEST_COUNT = 1e-9
SMALLEST_NORM = 1e-12


def pool(hidden: Floats, mask: npt.NDArray[np.int64], pooling: str, normalize: bool) -> Floats:
    """Return embeddings [batch, dimensions] of hidden states [batch, sequence, dimensions].

    `mask` is [batch, sequence], 1 for tokens and 0 for padding.
    """
    hidden = hidden.astype(np.float32)
    weights = mask[..., None].astype(np.float32)
    if pooling == "mean":
        pooled = (hidden * weights).sum(1) / np.maximum(weights.sum(1), SMALLEST_COUNT)
    elif pooling == "max":
        pooled = np.where(weights > 0, hidden, -np.inf).max(1)
    else:
        pooled = hidden[:, 0]
    if normalize:
        pooled = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), SMALLEST_NORM)
    return np.ascontiguousarray(pooled, np.float32)


def agreement(candidate: Floats, reference: Floats) -> dict[str, float]:
    """Compare embeddings [texts, dimensions] with others, text by text and pair by pair.

    A row with a value that is no finite number counts as cosine -1.
    """
    pairs = (_pairs(_finite_units(rows)) for rows in (candidate, reference))
    return {
        **cosine_figures(candidate, reference),
        "spearman": _figure(_spearman(*pairs)),
        "embedding_difference": largest_difference(candidate, reference),
    }


def largest_difference(candidate: Floats, reference: Floats) -> float:
    """Return the largest difference of a number from the reference's, over its largest number.

    A number that is not finite differs by infinity; since JSON has no infinity, the largest float32
    stands for it.
    """
    largest = float(np.finfo(np.float32).max)
    if not np.isfinite(candidate).all():
        return largest
    scale = max(float(np.abs(reference).max()), SMALLEST_NORM)
    return _figure(min(np.abs(candidate.astype(np.float64) - reference).max() / scale, largest))


def cosine_figures(candidate: Floats, reference: Floats) -> dict[str, float]:
    """Return the lowest, the first percentile and the mean of the rows' cosines.

    A row with a value that is no finite number counts as cosine -1: it must never pass a gate.
    """
    cosines = (_finite_units(candidate) * _finite_units(reference)).sum(1)
    cosines[~np.isfinite(candidate).all(axis=1)] = -1.0
    return {
        "cosine_lowest": _figure(cosines.min()),
        "cosine_p1": _figure(np.percentile(cosines, 1)),
        "cosine_mean": _figure(cosines.mean()),
    }


def _figure(value: np.floating | float) -> float:
    # Seven digits are what fp32 carries; more would differ between machines for no reason.
    return round(float(value), 7)


def _finite_units(rows: Floats) -> npt.NDArray[np.float64]:
    """Return each row scaled to length 1, and zeros for a row that is not finite."""
    bad = np.asarray(~np.isfinite(rows).all(axis=1))
    finite = np.where(bad[:, None], 0.0, rows).astype(np.float64)
    unit: npt.NDArray[np.float64] = finite / np.maximum(
        np.linalg.norm(finite, axis=1, keepdims=True), SMALLEST_NORM
    )
    return unit


def _pairs(unit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    pairs: npt.NDArray[np.float64] = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    return pairs


def _spearman(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> np.floating:
    ranks = [np.argsort(np.argsort(values)).astype(np.float64) for values in (one, other)]
    if any(len(rank) < 2 for rank in ranks):
        return np.float64(1.0)
    value: np.floating = np.corrcoef(ranks[0], ranks[1])[0, 1]
    return value
