"""The files of a split Whisper run as one: audio in, text out, as a browser's client does it.

The client searches greedily, so there are no beams here. numpy and onnxruntime alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.families.whisper.merged_decoder import CHOICE
from olive_build.families.whisper.spec import (
    ENCODER_STATES,
    INPUT_FEATURES,
    INPUT_IDS,
    WhisperFacts,
    inspect,
    past_names,
    present_names,
)

ENCODER_FILE, DECODER_FILE = "encoder_model", "decoder_model_merged"


@dataclass(frozen=True)
class Value:
    """An input or output, as onnxruntime describes its own."""

    name: str
    type: str
    shape: tuple[str | int, ...]


@dataclass(frozen=True)
class SplitSession:
    """Has the methods of an InferenceSession that a proof asks for."""

    facts: WhisperFacts
    prompt: tuple[int, ...]
    encoder: Any
    decoder: Any
    audio: Any
    text: Any

    def get_inputs(self) -> list[Value]:
        """Return the audio, and how much is written at most and at least."""
        return [
            Value("audio_pcm", "tensor(float)", (1, "samples")),
            Value("max_length", "tensor(int32)", (1,)),
            Value("min_length", "tensor(int32)", (1,)),
        ]

    def get_outputs(self) -> list[Value]:
        """Return the text."""
        return [Value("str", "tensor(string)", (1, 1))]

    def run(self, _names: None, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Return [str], strings [1, 1]."""
        (features,) = run_named(self.audio, {"audio_pcm": feeds["audio_pcm"]})
        half = self.encoder.get_inputs()[0].type == "tensor(float16)"
        features = features.astype(np.float16 if half else np.float32)
        (states,) = run_named(self.encoder, {INPUT_FEATURES: features})
        most, least = (int(feeds[name][0]) for name in ("max_length", "min_length"))
        ids = self._written(states, most, least)
        return run_named(self.text, {"sequences": np.array([[ids]], np.int32)})

    def _written(self, states: npt.NDArray[Any], longest: int, least: int) -> list[int]:
        """Return the prompt and what follows it, the likeliest token each time.

        The text ends where it has `least` tokens and its end is the likeliest.
        """
        ids, past = list(self.prompt), self._empty(states.dtype)
        given = np.array([ids], np.int64)
        while len(ids) < min(longest, self.facts.positions):
            first = given.shape[1] > 1
            feeds = {INPUT_IDS: given, ENCODER_STATES: states, CHOICE: np.array([not first])}
            logits, *caches = run_named(self.decoder, feeds | past)
            past = self._kept(past, caches, first)
            scores = logits[0, -1].astype(np.float32)
            if len(ids) < least:
                scores[self.facts.end] = -np.inf
            token = self._best(scores, len(ids) == len(self.prompt))
            ids.append(token)
            if token == self.facts.end:
                break
            given = np.array([[token]], np.int64)
        return ids

    def _best(self, scores: npt.NDArray[np.float32], is_first: bool) -> int:
        barred = self.facts.suppressed + (self.facts.suppressed_first if is_first else ())
        scores[list(barred)] = -np.inf
        return int(scores.argmax())

    def _empty(self, dtype: Any) -> dict[str, npt.NDArray[Any]]:
        size = self.facts.dimensions // self.facts.decoder_heads
        nothing = np.zeros((1, self.facts.decoder_heads, 0, size), dtype)
        return dict.fromkeys(self._past(), nothing)

    def _kept(
        self, past: dict[str, npt.NDArray[Any]], caches: list[npt.NDArray[Any]], first: bool
    ) -> dict[str, npt.NDArray[Any]]:
        """Return the caches for the next step; those of the audio are made once."""
        own = len(present_names(self.facts, "decoder"))
        names = self._past()
        fresh = dict(zip(names, caches, strict=True))
        return fresh if first else past | {name: fresh[name] for name in names[:own]}

    def _past(self) -> tuple[str, ...]:
        return (*past_names(self.facts, "decoder"), *past_names(self.facts, "encoder"))


def open_files(
    files: Mapping[str, Path],
    source: Path,
    options: Mapping[str, str],
    parts: Mapping[str, Path],
    threads: int = 1,
) -> SplitSession:
    """Return the files of a split layout as one. `source` has the model's configuration.

    `parts` are the graphs `audio` and `detokenizer`, which prepare sound and text as a single file
    does; `options` are the language and the task. Raises StepError when one cannot be loaded.
    """
    facts = inspect(source)
    return SplitSession(
        facts,
        facts.prompt(options.get("language"), options.get("task", "transcribe")),
        open_session(files[ENCODER_FILE], threads=threads),
        open_session(files[DECODER_FILE], threads=threads),
        open_session(parts["audio"], threads=threads),
        open_session(parts["detokenizer"], threads=threads),
    )
