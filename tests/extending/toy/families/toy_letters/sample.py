"""A word of a wanted length, for timing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.families.toy_letters.words import letters_of


def text_of(folder: Path, size: int) -> str:
    """Return a word of `size` letters."""
    return "a" * size


def feeds(inputs: Sequence[Any], text: str, size: int, batch: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a session is given: the word `batch` times."""
    return {value.name: np.stack([letters_of(text)] * batch) for value in inputs}
