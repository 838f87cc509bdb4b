"""References of models that transcribe: clips, what is said in them, and PyTorch's texts.

reference.json   kind, what is said (`texts`), how it is decoded, PyTorch's texts (`transcripts`),
                 and `cases`: other settings of decoding on one clip each, with PyTorch's texts
reference.npz    audio (as it was given: uint8 for mu-law, int16 or float32) [samples of all clips],
                 lengths [clips]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import run_named
from olive_build.errors import StepError
from olive_build.proof.audio import StoredClips, wav_of
from olive_build.proof.transcription import (
    Transcripts,
    transcript_agreement,
)

AUDIO_PCM = "audio_pcm"
AUDIO_STREAM = "audio_stream"
TEXTS = "str"
PENALTIES = ("length_penalty", "repetition_penalty")

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Decoding:
    """How texts are searched; lengths are in tokens and include the prompt."""

    max_length: int
    min_length: int = 0
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0

    def feeds(self) -> dict[str, npt.NDArray[Any]]:
        """Return a file's inputs besides the audio: int32 [1], and float32 [1] for penalties."""
        return {
            name: np.array([value], np.float32 if name in PENALTIES else np.int32)
            for name, value in asdict(self).items()
        }

    @staticmethod
    def restored(described: Mapping[str, Any]) -> Decoding:
        """Return what was stored. Raises KeyError, TypeError or ValueError."""
        found: dict[str, Any] = {}
        for field in fields(Decoding):
            value = described[field.name]
            wanted = (int, float) if field.name in PENALTIES else (int,)
            if type(value) not in wanted:
                raise TypeError(f"{field.name} is {value!r}")
            found[field.name] = float(value) if field.name in PENALTIES else value
        return Decoding(**found)


@dataclass(frozen=True)
class Case:
    """A clip, by its row, that is decoded with other options, and the texts of PyTorch."""

    clip: int
    decoding: Decoding
    texts: tuple[str, ...]


@dataclass(frozen=True)
class TranscriptionReference:
    """Clips, what is said in each, and what PyTorch hears: a text a clip, and more in `cases`."""

    clips: StoredClips
    truth: tuple[str, ...]
    texts: tuple[str, ...]
    decoding: Decoding
    cases: tuple[Case, ...] = ()

    kind: ClassVar[str] = "transcription"
    metric: ClassVar[str] = "wer"
    samples: ClassVar[str] = "clips"

    @property
    def count(self) -> int:
        return len(self.texts)

    @property
    def expected(self) -> Transcripts:
        return Transcripts(self.texts, tuple(case.texts for case in self.cases))

    def batches(self) -> list[Rows]:
        """Return none: a file takes one clip at a time."""
        return []

    def run(self, session: Any, rows: Rows) -> Transcripts:
        """Return the texts that a file gives for these clips, and for the cases on them.

        One that takes `audio_pcm` is given the samples, float32 [1, samples]; one that takes
        `audio_stream` a wav file's bytes, uint8 [1, bytes].
        """
        self._check(session)
        chosen = set(map(int, rows))
        # Cases are of beams, which clients of a split model do not have.
        beams = any(value.name == "num_beams" for value in session.get_inputs())
        return Transcripts(
            tuple(self._heard(session, int(row), self.decoding)[0] for row in rows),
            tuple(
                self._heard(session, case.clip, case.decoding) if beams else None
                for case in self.cases
                if case.clip in chosen
            ),
        )

    def _check(self, session: Any) -> None:
        outputs = [value.name for value in session.get_outputs()]
        if TEXTS not in outputs:
            raise StepError(
                f"the model has no output '{TEXTS}'", why=f"its outputs are {', '.join(outputs)}"
            )
        inputs = [value.name for value in session.get_inputs()]
        if not {AUDIO_PCM, AUDIO_STREAM} & set(inputs):
            raise StepError(
                f"the model takes neither '{AUDIO_PCM}' nor '{AUDIO_STREAM}'",
                why=f"its inputs are {', '.join(inputs)}",
            )

    def _heard(self, session: Any, row: int, decoding: Decoding) -> tuple[str, ...]:
        names = [value.name for value in session.get_outputs()]
        takes = {value.name for value in session.get_inputs()}
        feeds = {**self._audio(row, takes), **decoding.feeds()}
        found = run_named(session, feeds)[names.index(TEXTS)]
        expected = (1, decoding.num_return_sequences)
        if found.shape != expected or found.dtype.kind not in "OU":
            raise StepError(
                "the model's output is not the texts that were asked for",
                why=f"it is {found.dtype} {list(found.shape)}; strings {list(expected)} are "
                "expected",
            )
        return tuple(map(str, found[0]))

    def _audio(self, row: int, takes: set[str]) -> dict[str, npt.NDArray[Any]]:
        samples = self.clips.clip(row)
        if AUDIO_PCM in takes:
            return {AUDIO_PCM: samples[None]}
        return {AUDIO_STREAM: wav_of(samples)[None]}

    def compare(self, candidate: Transcripts, expected: Transcripts) -> dict[str, float]:
        """Return word error rates of all clips, and the agreement of all cases."""
        return transcript_agreement(candidate, expected, self.truth)

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what reference.json and reference.npz hold."""
        described = {
            "decoding": asdict(self.decoding),
            "texts": list(self.truth),
            "transcripts": list(self.texts),
            "cases": [
                {"clip": c.clip, "decoding": asdict(c.decoding), "transcripts": list(c.texts)}
                for c in self.cases
            ],
        }
        return described, {
            "audio": self.clips.audio,
            "lengths": self.clips.lengths.astype(np.int64),
        }

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> TranscriptionReference:
        """Return the reference of what was stored. Raises ValueError, KeyError or TypeError."""
        clips = StoredClips(arrays["audio"], arrays["lengths"])
        truth, texts = _texts(described["texts"]), _texts(described["transcripts"])
        if not len(clips) == len(truth) == len(texts):
            raise ValueError("clips, texts and transcripts differ in number")
        return TranscriptionReference(
            clips,
            truth,
            texts,
            Decoding.restored(described["decoding"]),
            tuple(_case(item, len(clips)) for item in described["cases"]),
        )


def _texts(found: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise TypeError("a list of texts is not one")
    return tuple(found)


def _case(item: Mapping[str, Any], clips: int) -> Case:
    case = Case(item["clip"], Decoding.restored(item["decoding"]), _texts(item["transcripts"]))
    if type(case.clip) is not int or not 0 <= case.clip < clips:
        raise ValueError(f"a case is of clip {case.clip!r}; there are {clips}")
    if len(case.texts) != case.decoding.num_return_sequences:
        raise ValueError(
            f"a case has {len(case.texts)} texts, and asks for {case.decoding.num_return_sequences}"
        )
    return case


REFERENCE = TranscriptionReference
