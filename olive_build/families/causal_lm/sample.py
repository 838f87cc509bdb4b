"""Steps for timing: one token after others, as most of a text is written, or a whole prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.families.causal_lm.spec import TOKENS_WRITTEN, inspect
from olive_build.proof.generation import (
    ATTENTION_MASK,
    INPUT_IDS,
    MAX_NEW_TOKENS,
    PAST,
    POSITION_IDS,
    empty_cache,
    positions,
)

# A step of a single token is one in the middle of a text; so many come before it.
TOKENS_BEFORE = 128


def text_of(folder: Path, size: int) -> str:
    """Return how many tokens are in the cache before a step of `size` tokens, as a number.

    Before a single one there are others, as many as the model has positions for; more are a prompt,
    before which there are none. Which tokens they are changes no time.
    """
    most = inspect(folder).positions or TOKENS_BEFORE + 1
    return str(min(TOKENS_BEFORE, most - 1) if size == 1 else 0)


def feeds(inputs: Sequence[Any], text: str, size: int, batch: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a session with these `inputs` is given: `size` tokens after `text` others.

    One that searches by itself is given a prompt of `size` tokens, and writes 16 more at most.
    """
    searches = any(value.name == MAX_NEW_TOKENS for value in inputs)
    before = 0 if searches else int(text)
    mask = np.ones((batch, before + size), np.int64)
    known: dict[str, npt.NDArray[Any]] = {
        INPUT_IDS: np.ones((batch, size), np.int64),  # every vocabulary has it
        ATTENTION_MASK: mask,
        POSITION_IDS: positions(mask)[:, before:],
        MAX_NEW_TOKENS: np.array([TOKENS_WRITTEN]),
    }
    return {
        value.name: empty_cache(value, batch, before)
        if value.name.startswith(PAST)
        else known[value.name]
        for value in inputs
    }
