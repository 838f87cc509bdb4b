"""Recordings in wav files, as one channel of numbers. The standard library's reader and numpy."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olive_build.errors import UsageError

Samples = npt.NDArray[np.float32]
WIDTHS = (1, 2, 3, 4)


def read_wav(path: Path, rate: int) -> Samples:
    """Return a recording as float32 [samples] from -1 to 1; channels are averaged.

    PCM of 8, 16, 24 and 32 bits is read. Raises UsageError for other files, for a rate that is not
    `rate` samples a second, and for a file that is cut off, empty or silent.
    """
    hint = convert_hint(path, rate)
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, found = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames, data = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        why = str(error) or "it ends before a wav file's header does"
        if isinstance(error, wave.Error) and "RIFF" in why:
            why = f"it is no wav file, whatever its name says ({why})"
        elif isinstance(error, wave.Error) and "unknown format" in why:
            why = f"it is a wav file, and not of plain numbers, PCM ({why})"
        raise UsageError(
            "a recording cannot be read", where=str(path), why=why, hint=hint
        ) from error
    if found != rate:
        raise UsageError(
            f"a recording has {found} samples a second, and the model takes {rate}",
            where=str(path),
            why="it would sound slower or faster to the model; resampling is not done here",
            hint=hint,
        )
    if width not in WIDTHS or len(data) != frames * channels * width:
        there = len(data) // max(channels * width, 1)
        raise UsageError(
            "a recording is cut off",
            where=str(path),
            why=f"its header says {frames} samples, and it holds {there}",
            hint="record or copy it again",
        )
    samples = np.asarray(_numbers(data, width).reshape(-1, channels).mean(axis=1), np.float32)
    _check_sound(path, samples)
    return samples


def convert_hint(path: Path, rate: int) -> str:
    """Return the command that makes what is read of a file in another form."""
    return f"convert it: ffmpeg -i {path.name} -ar {rate} -ac 1 -c:a pcm_s16le out.wav"


def _numbers(data: bytes, width: int) -> Samples:
    """Return PCM as float32 from -1 to 1: unsigned with 8 bits, signed and low byte first else."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if width == 3:
        # Put into the upper three bytes of 32 bits, so that the sign is in its place.
        whole = np.zeros((len(data) // 3, 4), np.uint8)
        whole[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return _scaled(whole.view("<i4")[:, 0], 4)
    return _scaled(np.frombuffer(data, f"<i{width}"), width)


def _scaled(numbers: npt.NDArray[np.signedinteger], width: int) -> Samples:
    return np.asarray(numbers / float(1 << (8 * width - 1)), np.float32)


def _check_sound(path: Path, samples: Samples) -> None:
    if not len(samples):
        raise UsageError("a recording is empty", where=str(path), why="it holds no samples")
    if np.ptp(samples) == 0:
        raise UsageError(
            "a recording is silent",
            where=str(path),
            why=f"its {len(samples)} samples are all the same: there is nothing to learn from",
            hint="record it again, or take it away",
        )
