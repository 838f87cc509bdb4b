"""Audio for timing: seeded speech-like noise of a wanted length, and a fixed number of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.proof.audio import wav_of

RATE = 16_000
# Ten seconds of speech are some thirty words, forty tokens; both sides write as many.
TOKENS_PER_SECOND = 4
PROMPT = 4


def sound(seconds: int) -> npt.NDArray[np.float32]:
    """Return seeded audio [1, samples] at 16 kHz: noise that swells and falls, as syllables do."""
    random = np.random.default_rng(0)
    times = np.arange(seconds * RATE) / RATE
    loudness = 0.05 * (1 + np.sin(2 * np.pi * 3 * times))
    return np.asarray((random.standard_normal(len(times)) * loudness)[None], np.float32)


def length_of(seconds: int) -> int:
    """Return how many tokens are written for audio of this length, the prompt included."""
    return PROMPT + TOKENS_PER_SECOND * seconds


def text_of(folder: Path, size: int) -> str:
    """Return the sample's text: none, since sound of a length is all that is timed."""
    return ""


def feeds(inputs: Sequence[Any], text: str, size: int, batch: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a session with these `inputs` is given: `size` seconds, greedy search."""
    length = length_of(size)
    known: dict[str, Any] = {
        "audio_pcm": sound(size),
        "max_length": np.array([length], np.int32),
        # Random weights would end early or never: both sides write as much.
        "min_length": np.array([length], np.int32),
        "num_beams": np.array([1], np.int32),
        "num_return_sequences": np.array([1], np.int32),
        "length_penalty": np.array([1], np.float32),
        "repetition_penalty": np.array([1], np.float32),
    }
    if any(value.name == "audio_stream" for value in inputs):
        known["audio_stream"] = wav_of(sound(size)[0])[None]
    return {value.name: known[value.name] for value in inputs}
