"""Texts on which a misread tokenizer, length or case shows: each proof adds them to its data."""

from __future__ import annotations

STRANGE = (
    "",
    " \t\n ",
    "NEW HOUSE, Old River",
    "naïve café ÀÉÎõü, Ångström; İstanbul, straße",
    "Привет, й и ё; 東京の天気 한국어 العربية",
    "3,14 + (x_1 - 2)^2 = 42%?! https://example.org/a?b=c#d",
    "[CLS] typed [SEP] by [MASK] hand </s> <s> <mask> [PAD]",
    "emoji 😀👩\u200d💻 and e\u0301 combined",
)
WORD = "the people of this city were happy to see that new house near the old river "
# No text is made longer: a model that reads 8,192 tokens is believed to cut there.
LONGEST = 1_200


def edge_texts(max_length: int | None) -> list[str]:
    """Return strange texts, and one that is longer than the model reads where that is feasible."""
    enough = min(LONGEST, (max_length or 0) + 32)
    return [*STRANGE, WORD * (enough // len(WORD.split()) + 1)]
