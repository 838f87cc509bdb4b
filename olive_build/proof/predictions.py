"""What a language model predicts of texts and writes after prompts, and how two sides compare.

numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Tokens = tuple[int, ...]
NOT_WRITTEN = -1
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

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return it as plain data and arrays; what it does not tell is left out, or -1 long."""
        told = {"nll": self.nll, "best": self.best}
        return {"texts": self.texts, "is_half": self.is_half}, {
            **{name: array for name, array in told.items() if array is not None},
            "written": np.array([token for row in self.written for token in row or ()], np.int32),
            "written_lengths": np.array(
                [NOT_WRITTEN if row is None else len(row) for row in self.written]
            ),
        }

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Predictions:
        """Return what was stored. Raises ValueError or KeyError."""
        nll, best = arrays.get("nll"), arrays.get("best")
        if (0 if nll is None else len(nll)) != (0 if best is None else len(best)):
            raise ValueError("nll and best differ in number")
        lengths = arrays["written_lengths"]
        rows = parted(arrays["written"], np.maximum(lengths, 0), "written")
        return Predictions(
            nll=None if nll is None else nll.astype(np.float32),
            best=None if best is None else best.astype(np.int32),
            written=tuple(
                None if length == NOT_WRITTEN else tuple(row.tolist())
                for row, length in zip(rows, lengths, strict=True)
            ),
            **described,
        )


def parted(
    values: npt.NDArray[Any], lengths: npt.NDArray[Any], name: str
) -> tuple[npt.NDArray[Any], ...]:
    """Return `values` [total] as one array for each of `lengths`. Raises ValueError."""
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 0).any():
        raise ValueError(f"the lengths of {name} are no whole numbers")
    if values.ndim != 1 or int(lengths.sum()) != len(values):
        raise ValueError(f"the lengths of {name} add up to {int(lengths.sum())}, not its number")
    return tuple(np.split(values, np.cumsum(lengths)[:-1])) if len(lengths) else ()


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
