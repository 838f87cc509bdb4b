"""What a language model predicts of texts and writes after prompts, and how two sides compare.

numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

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
    """What one side predicts of a proof's texts.

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


def generation_agreement(
    candidate: Predictions, expected: Predictions, choices: Sequence[Confidence]
) -> dict[str, float]:
    """Compare what two sides say of the same texts and write after the same prompts.

    `choices` are PyTorch's, for each prompt. What one of the sides does not tell has no figure.
    Raises ValueError when the sides differ in number.
    """
    same = [
        is_same(one, other, choice if candidate.is_half else None)
        for one, other, choice in zip(candidate.written, expected.written, choices, strict=True)
        if one is not None and other is not None
    ]
    found = _of_texts(candidate, expected)
    if same:
        found["generate_agreement"] = sum(same) / len(same)
    return {name: round(value, 7) for name, value in found.items()}


def _of_texts(candidate: Predictions, expected: Predictions) -> dict[str, float]:
    if candidate.nll is None or candidate.best is None:
        return {}
    own = mean_nll(candidate.nll)
    found = {"perplexity": perplexity(own)}
    if expected.nll is None or expected.best is None:
        return found
    if len(candidate.nll) != len(expected.nll):
        raise ValueError(f"{len(candidate.nll)} tokens and {len(expected.nll)} are compared")
    found["perplexity_ratio"] = perplexity(own - mean_nll(expected.nll))
    found["token_agreement"] = float((candidate.best == expected.best).mean())
    return found


def is_same(written: Tokens, expected: Tokens, choice: Confidence | None) -> bool:
    """Whether two sides write the same; with `choice`, only up to the first tied step counts."""
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
