"""Clips that a model learns from: a user's recordings, as the graph takes them. numpy alone.

A graph takes clips of one length: the recipe's, or where that is free the middle one of the clips'
lengths, so that one long recording does not make each step as slow as itself. Of a longer recording
the loudest part of that length is taken: what was said, not the silence round it; no more than that
part is kept in memory. A shorter one is repeated: a Wav2Vec2 averages over time,
and silence at the end would count in that average as much as speech. (Six clips in a seeded network
of four layers, made four times as long: logits moved by 0.33 of what lies between clips when they
were repeated, by 7.1 when filled up with zeros, by 5.7 when normalized before that.)
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import UsageError
from olive_build.families.audio_classification.wav import Recording, energies, open_wav
from olive_build.families.labelled_data import Kind, LabelledExamples, find_files
from olive_build.families.labelled_targets import targets_of

Samples = npt.NDArray[np.float32]
# Of transformers' Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm.
VARIANCE_FLOOR = 1e-7


def read_examples(
    data: Path, described: Mapping[str, Any], bundle: Path, labels: Sequence[str], loss: str
) -> LabelledExamples:
    """Return the recordings below `data`, prepared as `described` says, with their targets.

    See labelled_data.py for the form of the folder, wav.py for that of the recordings. Raises
    UsageError for what cannot be learned from, such as a recording in which the model's
    convolutions find nothing.
    """
    rate = int(described["sampling_rate"])
    convert = f"convert it: ffmpeg -i FILE -ar {rate} -ac 1 -c:a pcm_s16le FILE.wav"
    found = find_files(data, Kind("recordings", (".wav",), convert), loss)
    targets = targets_of(found, labels, loss, data)
    recordings = [open_wav(example.content, rate) for example in found]
    for recording in recordings:
        _require_length(recording, described)
    length = common_length([len(recording) for recording in recordings], described)
    clips = [recording.read(length) for recording in recordings]
    return LabelledExamples(
        {"input_values": prepared(clips, described)},
        targets,
        tuple(example.where for example in found),
    )


def _require_length(recording: Recording, described: Mapping[str, Any]) -> None:
    shortest = int(described.get("shortest", 1))
    if len(recording) < shortest:
        raise UsageError(
            f"a recording is too short: {len(recording)} samples",
            where=str(recording.path),
            why=f"the model's convolutions take {shortest} at the least",
            hint="record it again, or take it away",
        )


def common_length(lengths: Sequence[int], described: Mapping[str, Any]) -> int:
    """Return the length in samples that clips of such lengths are made of.

    It is the graph's, or where that is free the middle one of `lengths` (of two, the lower), no
    more than `longest` and no less than `shortest`.
    """
    if described["samples"]:
        return int(described["samples"])
    middle = min(statistics.median_low(lengths), int(described["longest"]))
    return max(middle, int(described.get("shortest", 1)))


def prepared(clips: Sequence[Samples], described: Mapping[str, Any]) -> Samples:
    """Return clips as the model takes them: [clips, samples] of one length, normalized."""
    length = common_length([len(clip) for clip in clips], described)
    rows = np.stack([of_length(clip, length) for clip in clips])
    return normalized(rows) if described["normalize"] else rows


def of_length(clip: Samples, length: int) -> Samples:
    """Return [length] samples: the loudest part of a longer clip, a shorter one repeated."""
    if len(clip) <= length:
        return np.resize(clip, length)
    begins = int(np.argmax(energies(clip, length)))
    return clip[begins : begins + length]


def normalized(clips: Samples) -> Samples:
    """Return clips [clips, samples] with mean 0 and variance 1 each.

    As transformers' Wav2Vec2FeatureExtractor does (feature_extraction_wav2vec2.py).
    """
    middle = clips - clips.mean(axis=1, keepdims=True)
    scaled = middle / np.sqrt(clips.var(axis=1, keepdims=True) + VARIANCE_FLOOR)
    return np.asarray(scaled, np.float32)
