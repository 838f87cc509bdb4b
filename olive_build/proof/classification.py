"""Scores from logits, and how close logits are to others and to the labels. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from olive_build.proof.embedding import Floats, cosine_figures

SOFTMAX, SIGMOID, NONE = "softmax", "sigmoid", "none"
POINTS = 100
# Pixels this near, in grey levels, were rounded to the same bytes: logits can be held together.
SAME_PIXELS = 0.02
LEVEL_DIGITS = 3
# Of the largest logit: nearer than that, single precision does not tell two classes apart.
TIED = 1e-4


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


@dataclass(frozen=True)
class PictureFigures:
    """What is known of the samples: how many have a label, and the rest are the proof's own.

    `moved` is by how much one grey level changes a margin of each own picture, None without any;
    `resizes` says whether pictures are resized, so that pixels may differ by a rounding.
    """

    labelled: int
    moved: Floats | None
    resizes: bool


def class_agreement(
    candidate: Floats,
    expected: Floats,
    labels: npt.NDArray[np.int64],
    figures: PictureFigures | None = None,
) -> dict[str, float]:
    """Compare logits [samples, classes] with logits [samples, classes] and labels [samples].

    With `figures` there are more samples than labels, and a last column of how far pixels are: no
    number where they are the same, infinite where nobody knows. A row with a value that is no
    finite number is wrong and agrees with nothing. What the file does not tell has no figure.
    """
    if figures is None:
        return _of_labelled(candidate, expected, labels)
    end = figures.labelled
    given, wanted, apart = candidate[:, :-1], expected[:, :-1], candidate[:, -1]
    found = _of_labelled(given[:end], wanted[:end], labels)
    shown = apart[np.isfinite(apart)]
    is_same = np.isnan(apart) | (apart < SAME_PIXELS) | (not figures.resizes)
    if is_same.any():
        found["logits_error"] = _error(given[is_same], wanted[is_same])
    if figures.moved is not None:
        alike = _is_named_alike(given[end:], wanted[end:], figures.moved)
        found["picture_agreement"] = _figure(alike.mean())
    if len(shown):
        found["pixels_difference"] = round(float(shown.max()), LEVEL_DIGITS)
    return found


def _of_labelled(
    candidate: Floats, expected: Floats, labels: npt.NDArray[np.int64]
) -> dict[str, float]:
    bad = ~np.isfinite(candidate).all(axis=1)
    named, wanted = np.where(bad, -1, candidate.argmax(axis=1)), expected.argmax(axis=1)
    accuracy, of_expected = (named == labels).mean(), (wanted == labels).mean()
    return {
        "accuracy": _figure(accuracy),
        "accuracy_loss": _figure(POINTS * (of_expected - accuracy)),
        "top1_agreement": _figure((named == wanted).mean()),
        **cosine_figures(candidate, expected),
    }


def _error(candidate: Floats, expected: Floats) -> float:
    """Return the largest difference over the largest value; the largest float32 if not finite."""
    if not np.isfinite(candidate).all():
        return float(np.finfo(np.float32).max)
    largest = max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
    return _figure(np.abs(candidate.astype(np.float64) - expected).max() / largest)


def _is_named_alike(candidate: Floats, expected: Floats, moved: Floats) -> npt.NDArray[np.bool_]:
    """Return for each row whether both sides name the same class, or could within a grey level."""
    bad = ~np.isfinite(candidate).all(axis=1)
    named = np.where(bad, 0, candidate.argmax(axis=1))
    best = expected.max(axis=1)
    behind = best - np.take_along_axis(expected, named[:, None], axis=1)[:, 0]
    slack = np.maximum(moved, TIED * np.abs(expected).max(axis=1))
    return np.asarray(~bad & ((behind == 0) | (behind < slack)))


def _figure(value: np.floating) -> float:
    return round(float(value), 7)
