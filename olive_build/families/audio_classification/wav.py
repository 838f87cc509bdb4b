"""Recordings in wav files, as one channel of numbers. The standard library and numpy.

Python's `wave` reads what ffmpeg writes of 24 and 32 bits from 3.12 on, and a file that came out of
a pipe in no version; so the few fields of the header are read here. Their form: "Multimedia
Programming Interface and Data Specifications 1.0" (IBM and Microsoft, 1991), and for the extensible
form WAVEFORMATEXTENSIBLE of Microsoft's mmreg.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from olive_build.errors import UsageError

Samples = npt.NDArray[np.float32]
WIDTHS = (1, 2, 3, 4)
PCM, EXTENSIBLE = 1, 0xFFFE
# An extensible format ends in a GUID: the format's number, and this.
ANY_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")
# What ffmpeg, and espeak-ng, write of the length where a wav file goes into a pipe: they cannot go
# back to fill it in.
LENGTHS_UNKNOWN = (0xFFFFFFFF, 0x7FFFF000)
# So many frames of a file are in memory at once, or those of two windows.
BLOCK = 1 << 16
HEADER_ENDS = "it ends before a wav file's header does"


@dataclass(frozen=True)
class Recording:
    """A wav file of PCM whose header was read: `frames` of `channels` numbers, `width` bytes each.

    They begin at the byte `begins`.
    """

    path: Path
    channels: int
    width: int
    begins: int
    frames: int

    def __len__(self) -> int:
        return self.frames

    def read(self, most: int | None = None) -> Samples:
        """Return float32 [samples] from -1 to 1, channels averaged: all, or the loudest `most`.

        Of a long file no more than a block and two windows of `most` are in memory. Raises
        UsageError where it is silent.
        """
        length = self.frames if most is None else min(most, self.frames)
        begins = self._loudest(length) if length < self.frames else 0
        samples = next(self._blocks(begins, length))
        if np.ptp(samples) == 0:
            part = "its" if length == self.frames else "its loudest"
            raise UsageError(
                "a recording is silent",
                where=str(self.path),
                why=f"{part} {length} samples are all the same: there is nothing to learn from",
                hint="record it again, or take it away",
            )
        return samples

    def _loudest(self, length: int) -> int:
        """Return the frame at which the loudest window of `length` frames begins."""
        best, begins, at = -1.0, 0, 0
        left = np.zeros(0, np.float32)
        for block in self._blocks(0, max(BLOCK, length)):
            some = np.concatenate([left, block])
            if len(some) >= length:
                energy = energies(some, length)
                row = int(np.argmax(energy))
                if energy[row] > best:
                    best, begins = float(energy[row]), at + row
            left = some[max(len(some) - length + 1, 0) :]
            at += len(some) - len(left)
        return begins

    def _blocks(self, begins: int, frames: int) -> Iterator[Samples]:
        """Yield the samples from frame `begins` on, so many `frames` at a time."""
        size = self.channels * self.width
        with self.path.open("rb") as file:
            file.seek(self.begins + begins * size)
            for first in range(begins, self.frames, frames):
                data = file.read(min(frames, self.frames - first) * size)
                numbers = _numbers(data, self.width).reshape(-1, self.channels)
                yield np.asarray(numbers.mean(axis=1), np.float32)


def open_wav(path: Path, rate: int) -> Recording:
    """Return a recording whose header was read; its samples are read by `Recording.read`.

    PCM of 8, 16, 24 and 32 bits is known, plain or extensible; a file that a pipe left without its
    length is taken to its end. Raises UsageError for other files, for a rate that is not `rate`
    samples a second, and for a file that is cut off or empty.
    """
    hint = convert_hint(path, rate)
    try:
        with path.open("rb") as file:
            form, promised = _chunks(file)
            begins, ends = file.tell(), os.fstat(file.fileno()).st_size
        channels, found, width = _format(form)
    except (OSError, ValueError) as error:
        raise UsageError(
            "a recording cannot be read", where=str(path), why=str(error), hint=hint
        ) from error
    if found != rate:
        raise UsageError(
            f"a recording has {found} samples a second, and the model takes {rate}",
            where=str(path),
            why="it would sound slower or faster to the model; resampling is not done here",
            hint=hint,
        )
    there = (ends - begins) // (channels * width)
    frames = promised // (channels * width)
    if promised in LENGTHS_UNKNOWN:
        frames = min(frames, there)
    _check_frames(path, frames, there)
    return Recording(path, channels, width, begins, frames)


def convert_hint(path: Path, rate: int) -> str:
    """Return the command that makes what is read of a file in another form."""
    return f"convert it: ffmpeg -i {path.name} -ar {rate} -ac 1 -c:a pcm_s16le out.wav"


def energies(samples: Samples, length: int) -> npt.NDArray[np.float64]:
    """Return the sum of squares of each window of `length` samples, [samples - length + 1]."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    return np.asarray(energy[length:] - energy[:-length])


def _chunks(file: BinaryIO) -> tuple[bytes, int]:
    """Return the format chunk and the length of the samples in bytes; `file` stands before them.

    Raises ValueError where the file is no wav file or ends before that.
    """
    start, form = file.read(12), b""
    if start[:4] != b"RIFF"[: len(start)] or start[8:] != b"WAVE"[: len(start[8:])]:
        raise ValueError(
            f"it is no wav file, whatever its name says (it begins with {start[:4]!r})"
        )
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            return form, length
        content = file.read(min(length, 40))
        form = content if name == b"fmt " else form
        file.seek(length + length % 2 - len(content), os.SEEK_CUR)
    raise ValueError(HEADER_ENDS)


def _format(form: bytes) -> tuple[int, int, int]:
    """Return channels, samples a second and bytes a sample. Raises ValueError if it is no PCM."""
    if len(form) < 16:
        raise ValueError("its header does not say what its samples are")
    tag, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", form)
    if tag == EXTENSIBLE and form[26:] == ANY_SUBFORMAT:
        (tag,) = struct.unpack_from("<H", form, 24)
    if tag != PCM:
        raise ValueError(
            f"it is a wav file, and not of plain numbers, PCM (its format is number {tag})"
        )
    # A sample of fewer bits lies in the upper ones of its bytes.
    width = frame // max(channels, 1)
    if width not in WIDTHS or frame != channels * width or not 8 * width - 8 < bits <= 8 * width:
        raise ValueError(
            f"its header says {channels} channels of {bits} bits in {frame} bytes: 8, 16, 24 and "
            "32 bits are read"
        )
    return channels, rate, width


def _check_frames(path: Path, frames: int, there: int) -> None:
    if there < frames:
        raise UsageError(
            "a recording is cut off",
            where=str(path),
            why=f"its header says {frames} samples, and it holds {there}",
            hint="record or copy it again",
        )
    if not frames:
        raise UsageError(
            "a recording is empty",
            where=str(path),
            why="it holds no samples",
            hint="record it again, or take it away",
        )


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
