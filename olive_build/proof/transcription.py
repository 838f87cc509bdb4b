"""How close transcripts are to each other and to what was said. Pure Python.

Texts are compared word by word. Before that they are brought to Unicode's form NFKC and lower case,
dashes part words, and whatever else Unicode counts as punctuation is dropped; words are what blanks
part: `It's two-fold.` is `its two fold`. In a language without blanks a sentence is one word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Words = tuple[str, ...]
POINTS = 100
DASH = "Pd"


@dataclass(frozen=True)
class Transcripts:
    """What a side heard: a text for each clip, and all texts of each extra case of decoding.

    A case is None where the side cannot decode in that way, as clients without beams cannot.
    """

    texts: tuple[str, ...]
    cases: tuple[tuple[str, ...] | None, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def stored(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return it as plain data, and no arrays."""
        return {"texts": self.texts, "cases": self.cases}, {}

    @staticmethod
    def restored(described: Mapping[str, Any], arrays: Mapping[str, Any]) -> Transcripts:
        """Return what was stored."""
        cases = tuple(None if texts is None else tuple(texts) for texts in described["cases"])
        return Transcripts(tuple(described["texts"]), cases)


def transcript_agreement(
    candidate: Transcripts, expected: Transcripts, truth: Sequence[str]
) -> dict[str, float]:
    """Compare transcripts of the same clips and cases, and both with what was said in the clips.

    `generate_agreement` is 1 where there are no cases that both sides know. Raises ValueError when
    they differ in number.
    """
    wer = word_error_rate(candidate.texts, truth)
    same = [
        one == other
        for one, other in zip(candidate.cases, expected.cases, strict=True)
        if one is not None and other is not None
    ]
    return {
        "wer": _figure(wer),
        "wer_loss": _figure(POINTS * (wer - word_error_rate(expected.texts, truth))),
        "wer_to_reference": _figure(word_error_rate(candidate.texts, expected.texts)),
        "generate_agreement": _figure(sum(same) / len(same) if same else 1.0),
    }


def word_error_rate(texts: Sequence[str], truth: Sequence[str]) -> float:
    """Return the edits of all clips over the words of all truths: a corpus rate, not a mean.

    In a clip where nothing is said, each word that was heard is an insertion, so the share can be
    above 1; without a single true word the edits count as if there were one. Raises ValueError
    when the texts differ in number.
    """
    pairs = [(words(one), words(other)) for one, other in zip(texts, truth, strict=True)]
    total = sum(len(other) for _, other in pairs)
    return sum(edits(one, other) for one, other in pairs) / max(total, 1)


def words(text: str) -> Words:
    """Return the words of a text in the form in which they are compared; see the module."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return tuple("".join(map(_kept, plain)).split())


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if category.startswith("P"):
        return " " if category == DASH else ""
    return character


def edits(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and replacements between two sequences of words.

    The row-by-row form of R. A. Wagner, M. J. Fischer, "The String-to-String Correction Problem",
    Journal of the ACM 21 (1974).
    """
    if one == other:
        return 0
    row = list(range(len(other) + 1))
    for first, word in enumerate(one, 1):
        diagonal, row[0] = row[0], first
        for place, wanted in enumerate(other, 1):
            replaced = diagonal + (word != wanted)
            diagonal = row[place]
            row[place] = min(replaced, diagonal + 1, row[place - 1] + 1)
    return row[-1]


def _figure(value: float) -> float:
    # As many digits as the figures of other kinds.
    return round(float(value), 7)
