"""How near two sets of class scores are, to each other and to the labels. numpy only."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from olive_build.proof.embedding import Floats, cosine_figures

POINTS = 100


@dataclass(frozen=True)
class ClassAgreement:
    """How a file classifies: against the labels, and against the outputs that it is held to.

    `accuracy` is the share of samples named right, `accuracy_loss` what is lost of the other's
    accuracy in points (percent; below zero where the file is better), `top1_agreement` the share
    of samples for which both name one class. The cosines are those of the logits.
    """

    accuracy: float
    accuracy_loss: float
    top1_agreement: float
    cosine_lowest: float
    cosine_p1: float
    cosine_mean: float

    def as_json(self) -> dict[str, float]:
        return asdict(self)


def class_agreement(
    candidate: Floats, expected: Floats, labels: npt.NDArray[np.int64]
) -> ClassAgreement:
    """Compare logits [samples, classes] with logits [samples, classes] and labels [samples].

    A row with a value that is no finite number is wrong and agrees with nothing.
    """
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


def _figure(value: np.floating) -> float:
    return round(float(value), 7)
