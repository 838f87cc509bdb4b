"""Clips that a model learns from: a user's recordings, or a file of trials. numpy alone.

A graph takes clips of one length. Of a longer recording the loudest part of that length is taken:
what was said, not the silence round it. A shorter one is repeated: a Wav2Vec2 averages over time,
and silence at the end would count in that average as much as speech. (Six clips in a seeded network
of four layers, made four times as long: logits moved by 0.33 of what lies between clips when they
were repeated, by 7.1 when filled up with zeros, by 5.7 when normalized before that.)
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError
from olive_build.families.audio_classification.wav import read_wav
from olive_build.families.labelled_data import Kind, LabelledExamples, find_files
from olive_build.families.labelled_targets import targets_of
from olive_build.proof.audio import StoredClips

Samples = npt.NDArray[np.float32]
# Of transformers' Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm.
VARIANCE_FLOOR = 1e-7


@dataclass(frozen=True)
class Trials:
    """Prepared clips [clips, samples] with whose each is and what for."""

    inputs: Samples
    speakers: tuple[str, ...]
    roles: tuple[str, ...]


def read_examples(
    data: Path, described: Mapping[str, Any], bundle: Path, labels: Sequence[str], loss: str
) -> LabelledExamples:
    """Return the recordings below `data`, prepared as `described` says, with their targets.

    See labelled_data.py for the form of the folder, wav.py for that of the recordings. Raises
    UsageError for what cannot be learned from.
    """
    rate = int(described["sampling_rate"])
    convert = f"convert it: ffmpeg -i FILE -ar {rate} -ac 1 -c:a pcm_s16le FILE.wav"
    found = find_files(data, Kind("recordings", (".wav",), convert), loss)
    targets = targets_of(found, labels, loss, data)
    clips = [read_wav(example.content, rate) for example in found]
    return LabelledExamples(
        {"input_values": prepared(clips, described)},
        targets,
        tuple(example.where for example in found),
    )


def read_trials(path: Path, described: Mapping[str, Any]) -> Trials:
    """Return the clips of an .npz file of trials, prepared.

    Its arrays are `audio` and `lengths` (see proof/audio.py), `speakers` and `roles`, one a clip.
    Raises StepError where they are not.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            clips = StoredClips(arrays["audio"], arrays["lengths"])
            speakers, roles = arrays["speakers"], arrays["roles"]
        if not len(clips) == len(speakers) == len(roles):
            raise ValueError("`lengths`, `speakers` and `roles` are not one a clip")
        empty = np.flatnonzero(clips.lengths == 0)
        if len(empty):
            raise ValueError(f"clip {empty[0]} is empty")
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise StepError(
            "the file of trials cannot be read",
            where=str(path),
            why=str(error.args[0] if isinstance(error, KeyError) else error),
            hint="save it with numpy.savez_compressed(file, audio=..., lengths=..., speakers=..., "
            "roles=...): the samples of all clips one after the other, and three arrays [clips]",
        ) from error
    inputs = prepared(list(clips), described)
    return Trials(inputs, tuple(map(str, speakers)), tuple(map(str, roles)))


def prepared(clips: Sequence[Samples], described: Mapping[str, Any]) -> Samples:
    """Return clips as the model takes them: [clips, samples] of one length, normalized.

    Where the graph's length is free, it is that of the longest clip, up to `longest`.
    """
    length = described["samples"] or min(max(map(len, clips)), int(described["longest"]))
    rows = np.stack([of_length(clip, length) for clip in clips])
    return normalized(rows) if described["normalize"] else rows


def of_length(clip: Samples, length: int) -> Samples:
    """Return [length] samples: the loudest part of a longer clip, a shorter one repeated."""
    if len(clip) <= length:
        return np.resize(clip, length)
    energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
    begins = int(np.argmax(energy[length:] - energy[:-length]))
    return clip[begins : begins + length]


def normalized(clips: Samples) -> Samples:
    """Return clips [clips, samples] with mean 0 and variance 1 each.

    As transformers' Wav2Vec2FeatureExtractor does (feature_extraction_wav2vec2.py).
    """
    middle = clips - clips.mean(axis=1, keepdims=True)
    scaled = middle / np.sqrt(clips.var(axis=1, keepdims=True) + VARIANCE_FLOOR)
    return np.asarray(scaled, np.float32)
