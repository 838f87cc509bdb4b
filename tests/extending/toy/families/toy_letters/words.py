"""Words as the encoder's letters: a is 1, and 0 is padding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt


def read_words(data: Path) -> list[str]:
    """Return the words of a file, one a line."""
    lines = data.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def letters_of(word: str) -> npt.NDArray[np.int64]:
    """Return int64 [letters]."""
    return np.array([ord(letter) - ord("a") + 1 for letter in word], np.int64)
