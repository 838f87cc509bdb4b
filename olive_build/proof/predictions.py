"""What a language model says of texts and writes after their beginnings, and how near two are.

numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.proof.figures import Figure, text_generation

Floats = npt.NDArray[np.float32]
Tokens = tuple[int, ...]
# Logits of float16 are rounded in every layer, not in the last alone: so many steps between
# neighbouring numbers at the best logit are no reason to prefer one token to another.
TIE_STEPS = 4
# The largest number of float16 has no neighbour above it; this one has.
LARGEST_HALF = 60_000.0
# e to this is still a number.
LARGEST_MEAN = 700.0


@dataclass(frozen=True)
class Predictions:
    """One side's view of a proof's texts.

    `nll` and `best` [tokens] are of all tokens but the first of each text, text by text: the
    negative log probability, natural, of the token that is there, and the likeliest in its place;
    None for a file that searches by itself and tells nothing else. `written` is what follows each
    prompt, None where this side does not search in that way. `texts` is how many there are, and
    `is_half` says whether this side computes in float16.
    """

    nll: Floats | None
    best: npt.NDArray[np.int32] | None
    written: tuple[Tokens | None, ...]
    texts: int
    is_half: bool = False

    def __len__(self) -> int:
        return self.texts


@dataclass(frozen=True)
class Confidence:
    """How sure PyTorch was of each token that it wrote after a prompt, in logits [tokens].

    `best` is the one that won, `margin` how far the second was below it, both after penalties.
    """

    best: Floats
    margin: Floats

    def tied(self, step: int) -> bool:
        """Whether float16 cannot tell the first from the second at this step."""
        if step >= len(self.best):
            return False
        size = min(float(np.abs(self.best[step])), LARGEST_HALF)
        return bool(self.margin[step] <= TIE_STEPS * float(np.spacing(np.float16(size))))


@dataclass(frozen=True)
class GenerationAgreement:
    """How a file predicts and writes, against the side that it is held to.

    `perplexity` is the file's own on the texts; `perplexity_ratio` that over the other side's.
    `token_agreement` is the share of tokens of the texts in whose place both find the same one
    likeliest, `generate_agreement` the share of prompts after which both write the same. None of
    what one of the sides does not tell.
    """

    measured: ClassVar[tuple[Figure, ...]] = text_generation.FIGURES

    perplexity: float | None
    perplexity_ratio: float | None
    token_agreement: float | None
    generate_agreement: float | None

    def as_json(self) -> dict[str, float]:
        found = vars(self).items()
        return {name: round(float(value), 7) for name, value in found if value is not None}


def generation_agreement(
    candidate: Predictions, expected: Predictions, choices: Sequence[Confidence]
) -> GenerationAgreement:
    """Compare what two sides say of the same texts and write after the same prompts.

    `choices` are PyTorch's, for each prompt. Raises ValueError when the sides differ in number.
    """
    same = [
        is_same(one, other, choice if candidate.is_half else None)
        for one, other, choice in zip(candidate.written, expected.written, choices, strict=True)
        if one is not None and other is not None
    ]
    return GenerationAgreement(
        *_of_texts(candidate, expected),
        generate_agreement=sum(same) / len(same) if same else None,
    )


def _of_texts(
    candidate: Predictions, expected: Predictions
) -> tuple[float | None, float | None, float | None]:
    """Return perplexity, perplexity_ratio and token_agreement."""
    if candidate.nll is None or candidate.best is None:
        return None, None, None
    own = mean_nll(candidate.nll)
    if expected.nll is None or expected.best is None:
        return perplexity(own), None, None
    if len(candidate.nll) != len(expected.nll):
        raise ValueError(f"{len(candidate.nll)} tokens and {len(expected.nll)} are compared")
    ratio = perplexity(own - mean_nll(expected.nll))
    return perplexity(own), ratio, float((candidate.best == expected.best).mean())


def is_same(written: Tokens, expected: Tokens, choice: Confidence | None) -> bool:
    """Whether two sides write the same; given `choice`, up to the first step that is tied."""
    for step, (one, other) in enumerate(zip_longest(written, expected)):
        if one != other:
            return choice is not None and choice.tied(step)
    return True


def mean_nll(nll: Floats) -> float:
    """Return the mean over all tokens of all texts."""
    return float(nll.mean(dtype=np.float64))


def perplexity(mean: float) -> float:
    """Return e to the mean negative log probability of a token."""
    return math.exp(min(mean, LARGEST_MEAN))
