"""How near two sets of class scores are, to each other and to the labels. numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.proof.embedding import Floats, cosine_figures
from olive_build.proof.figures import Figure, classes, similarity

POINTS = 100
# Pixels this near, in grey levels, were rounded to the same bytes: logits can be held together.
SAME_PIXELS = 0.02
LEVEL_DIGITS = 3
# Of the largest logit: nearer than that, single precision does not tell two classes apart.
TIED = 1e-4


@dataclass(frozen=True)
class ClassAgreement:
    """How a file classifies: against the labels, and against the outputs that it is held to.

    `accuracy` is the share of samples named right, `accuracy_loss` what is lost of the other's
    accuracy in points (percent; below zero where the file is better), `top1_agreement` the share
    of samples for which both name one class. The cosines are those of the logits, and
    `logits_error` their largest difference over the largest of them, where both had the same
    pixels. `picture_agreement` is the share of the proof's own pictures for which both name one
    class, as far as a grey level does not change it, and `pixels_difference` how far the file's
    pixels are from the library's, in grey levels. None of what the file does not tell.
    """

    measured: ClassVar[tuple[Figure, ...]] = (*classes.FIGURES, *similarity.FIGURES)

    accuracy: float
    accuracy_loss: float
    top1_agreement: float
    cosine_lowest: float
    cosine_p1: float
    cosine_mean: float
    logits_error: float | None = None
    picture_agreement: float | None = None
    pixels_difference: float | None = None

    def as_json(self) -> dict[str, float]:
        return {name: value for name, value in vars(self).items() if value is not None}


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
) -> ClassAgreement:
    """Compare logits [samples, classes] with logits [samples, classes] and labels [samples].

    With `figures` there are more samples than labels, and a last column of how far pixels are: no
    number where they are the same, infinite where nobody knows. A row with a value that is no
    finite number is wrong and agrees with nothing.
    """
    if figures is None:
        return _of_labelled(candidate, expected, labels)
    end = figures.labelled
    given, wanted, apart = candidate[:, :-1], expected[:, :-1], candidate[:, -1]
    found = _of_labelled(given[:end], wanted[:end], labels)
    shown = apart[np.isfinite(apart)]
    is_same = np.isnan(apart) | (apart < SAME_PIXELS) | (not figures.resizes)
    return ClassAgreement(
        **vars(found)
        | {
            "logits_error": _error(given[is_same], wanted[is_same]) if is_same.any() else None,
            "picture_agreement": None
            if figures.moved is None
            else _figure(_is_named_alike(given[end:], wanted[end:], figures.moved).mean()),
            "pixels_difference": round(float(shown.max()), LEVEL_DIGITS) if len(shown) else None,
        }
    )


def _of_labelled(
    candidate: Floats, expected: Floats, labels: npt.NDArray[np.int64]
) -> ClassAgreement:
    bad = ~np.isfinite(candidate).all(axis=1)
    named, wanted = np.where(bad, -1, candidate.argmax(axis=1)), expected.argmax(axis=1)
    accuracy, of_expected = (named == labels).mean(), (wanted == labels).mean()
    lowest, p1, mean = cosine_figures(candidate, expected)
    return ClassAgreement(
        accuracy=_figure(accuracy),
        accuracy_loss=_figure(POINTS * (of_expected - accuracy)),
        top1_agreement=_figure((named == wanted).mean()),
        cosine_lowest=lowest,
        cosine_p1=p1,
        cosine_mean=mean,
    )


def _error(candidate: Floats, expected: Floats) -> float:
    """Return the largest difference over the largest value; as far as can be where unlike."""
    if not np.isfinite(candidate).all():
        return float(np.finfo(np.float32).max)
    largest = max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
    return _figure(np.abs(candidate.astype(np.float64) - expected).max() / largest)


def _is_named_alike(candidate: Floats, expected: Floats, moved: Floats) -> npt.NDArray[np.bool_]:
    """Return for each row whether both name one class, or could within what a grey level moves."""
    bad = ~np.isfinite(candidate).all(axis=1)
    named = np.where(bad, 0, candidate.argmax(axis=1))
    best = expected.max(axis=1)
    behind = best - np.take_along_axis(expected, named[:, None], axis=1)[:, 0]
    slack = np.maximum(moved, TIED * np.abs(expected).max(axis=1))
    return np.asarray(~bad & ((behind == 0) | (behind < slack)))


def _figure(value: np.floating) -> float:
    return round(float(value), 7)
