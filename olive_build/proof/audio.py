"""Recorded clips as they are stored, one after the other, and as models take them. numpy only."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Stored = npt.NDArray[np.uint8] | npt.NDArray[np.int16] | npt.NDArray[np.float32]
RATE = 16_000
MU = 255
FULL_SCALE = 1 << 15


@dataclass(frozen=True)
class StoredClips:
    """Clips in the form of a file: `audio` [samples of all clips], `lengths` int64 [clips].

    `audio` is int16, float32 from -1 to 1, or uint8 for mu-law. Raises ValueError, naming the
    array, where they are none of these or do not fit together.
    """

    audio: Stored
    lengths: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.audio.ndim != 1 or self.lengths.ndim != 1:
            raise ValueError("`audio` and `lengths` must have one axis each")
        if len(self.lengths) == 0:
            raise ValueError("it holds no clip")
        if not np.issubdtype(self.lengths.dtype, np.integer) or (self.lengths < 0).any():
            raise ValueError("`lengths` are whole numbers of samples")
        total, there = int(self.lengths.sum()), len(self.audio)
        if total != there:
            raise ValueError(f"`lengths` add up to {total}, and `audio` has {there} samples")
        samples_of(self.audio[:0])  # its type is checked there
        if not np.isfinite(self.audio).all():
            raise ValueError("`audio` has values that are no finite numbers")

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Samples]:
        return map(self.clip, range(len(self)))

    def clip(self, row: int) -> Samples:
        """Return a clip as float32 [samples], from -1 to 1."""
        end = int(self.lengths[: row + 1].sum())
        return samples_of(self.audio[end - int(self.lengths[row]) : end])

    def chosen(self, rows: Sequence[int]) -> StoredClips:
        """Return some of the clips, stored as they are."""
        pieces = np.split(self.audio, np.cumsum(self.lengths)[:-1])
        audio = np.concatenate([self.audio[:0], *(pieces[row] for row in rows)])
        return StoredClips(audio, self.lengths[list(rows)])


def samples_of(audio: npt.NDArray[np.generic]) -> Samples:
    """Return stored audio as float32 from -1 to 1. Raises ValueError for another type."""
    if audio.dtype == np.int16:
        return (audio.astype(np.float32) / np.float32(FULL_SCALE)).astype(np.float32)
    if audio.dtype == np.uint8:
        return mu_law_decode(audio.astype(np.uint8))
    if audio.dtype == np.float32:
        return audio.astype(np.float32, copy=False)
    raise ValueError(f"`audio` is {audio.dtype}; it may be int16, float32, or uint8 for mu-law")


def mu_law_encode(samples: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return samples from -1 to 1 as 8 bits: fine near silence, coarse where it is loud.

    The continuous mu-law of ITU-T G.711, in 256 steps.
    """
    bounded = np.clip(samples, -1, 1).astype(np.float64)
    bent = np.sign(bounded) * np.log1p(MU * np.abs(bounded)) / np.log1p(MU)
    return np.asarray(np.round((bent + 1) / 2 * MU), np.uint8)


def mu_law_decode(stored: npt.NDArray[np.uint8]) -> Samples:
    """Return what `mu_law_encode` stored, as float32; silence is exactly zero."""
    bent = stored.astype(np.float64) / MU * 2 - 1
    bent[np.abs(bent) < 1 / MU] = 0.0  # 127 and 128 lie beside zero
    return np.asarray(np.sign(bent) * np.expm1(np.abs(bent) * np.log1p(MU)) / MU, np.float32)


def wav_of(samples: Samples) -> npt.NDArray[np.uint8]:
    """Return samples [samples] from -1 to 1 as the bytes of a wav file, 16 bits, 16 kHz."""
    scaled = np.clip(np.round(samples.astype(np.float64) * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(scaled.astype("<i2").tobytes())
    return np.frombuffer(stream.getvalue(), np.uint8)
