"""Folders of examples as users have them, good and bad, for the tests of what reads them."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from olive_build.errors import UsageError

RATE = 16_000


def tone(seconds: float = 0.1, pitch: float = 440.0) -> npt.NDArray[np.float64]:
    """Return a sine of half the full scale."""
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * RATE)) / RATE)


def pcm(samples: npt.NDArray[np.float64], width: int) -> bytes:
    """Return samples from -1 to 1 as the bytes of a wav file with `width` bytes a sample."""
    if width == 1:
        return bytes(np.round(samples * 127 + 128).astype(np.uint8))
    whole = np.round(samples * ((1 << (8 * width - 1)) - 1)).astype("<i8")
    return whole.view(np.uint8).reshape(-1, 8)[:, :width].tobytes()


def write_wav(
    path: Path,
    samples: npt.NDArray[np.float64],
    *,
    width: int = 2,
    rate: int = RATE,
    channels: int = 1,
) -> Path:
    """Write samples [frames] or [frames, channels] as a wav file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(pcm(samples.ravel(), width))
    return path


def refused(call: Callable[[], object]) -> str:
    """Return the text that a user reads of the UsageError that a call must raise."""
    with pytest.raises(UsageError) as caught:
        call()
    return caught.value.render()
