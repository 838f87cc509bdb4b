"""Clips as the inputs of a Whisper's components, for quantizers: each is fed by those before it.

numpy and onnxruntime alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.families.whisper.audio import audio_graph
from olive_build.families.whisper.clips import read_clips
from olive_build.families.whisper.spec import (
    DECODER,
    ENCODER,
    ENCODER_STATES,
    INPUT_FEATURES,
    INPUT_IDS,
    WhisperFacts,
    inspect,
    past_names,
)

# A clip's hidden states and caches take megabytes; more clips tell a quantizer nothing new.
MOST_CLIPS = 32
# A later step is looked at behind so many tokens and fewer, in turn.
MOST_WRITTEN = 8
OPSET = 17

Feeds = dict[str, npt.NDArray[Any]]


def component_feeds(
    folder: Path,
    data: Path,
    component: str,
    before: Mapping[str, Path],
    options: Mapping[str, str],
) -> Iterator[Feeds]:
    """Yield a component's inputs for each of up to 32 clips of `data`, with a batch axis of 1.

    `before` are the graphs, in fp32, of the components that feed it: the decoder is given the
    encoder's states and the prompt that `options` ask for, its later steps the caches behind the
    tokens that the decoder itself finds the likeliest. Raises StepError for bad data.
    """
    facts = inspect(folder)
    prompt = facts.prompt(options.get("language"), options.get("task", "transcribe"))
    audio = open_session(audio_graph(facts, OPSET, "audio_pcm").SerializeToString())
    sessions = {name: open_session(path) for name, path in before.items()}
    clips = read_clips(data, what="the calibration data").audio
    for number, clip in enumerate(islice(clips, MOST_CLIPS)):
        (features,) = run_named(audio, {"audio_pcm": clip[None]})
        if component == ENCODER:
            yield {INPUT_FEATURES: features}
            continue
        (states,) = run_named(sessions[ENCODER], {INPUT_FEATURES: features})
        first = {INPUT_IDS: np.array([prompt], np.int64), ENCODER_STATES: states}
        if component == DECODER:
            yield first
        else:
            yield _later_step(sessions[DECODER], first, 1 + number % MOST_WRITTEN, facts)


def _later_step(decoder: Any, first: Feeds, written: int, facts: WhisperFacts) -> Feeds:
    """Return what the step is given that comes behind `written` tokens, fewer where a text ends."""
    ids = list(first[INPUT_IDS][0])
    barred = list(facts.suppressed + facts.suppressed_first)
    caches: list[npt.NDArray[Any]] = []
    for _ in range(written):
        logits, *found = run_named(decoder, first | {INPUT_IDS: np.array([ids], np.int64)})
        scores = logits[0, -1].astype(np.float32)
        scores[barred] = -np.inf
        ids.append(int(scores.argmax()))
        caches = found
        if ids[-1] == facts.end or len(ids) == facts.positions:
            break
    names = (*past_names(facts, "decoder"), *past_names(facts, "encoder"))
    return {INPUT_IDS: np.array([ids[-1:]], np.int64), **dict(zip(names, caches, strict=True))}
