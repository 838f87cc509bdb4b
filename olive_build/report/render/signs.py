"""Verdicts with their signs, and what each is: good, bad or open."""

from __future__ import annotations

KINDS = {
    "passed": "good",
    "held": "good",
    "better": "good",
    "failed": "bad",
    "missed": "bad",
    "worse": "bad",
    "undecided": "open",
    "unclear": "open",
    "changed": "open",
}
_SIGNS = {
    "passed": "\u2713 passed",
    "held": "\u2713 held",
    "better": "\u2191 better",
    "failed": "\u2715 failed",
    "missed": "\u2715 missed",
    "worse": "\u2193 worse",
    "undecided": "? undecided",
    "unclear": "? within the noise",
}


def sign(word: str) -> str:
    """Return a verdict with its sign, so that nobody needs to see its colour."""
    return _SIGNS.get(word, word)
