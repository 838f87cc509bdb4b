"""The section `speech`: what a model that transcribes is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from olive_build.knobs import knob
from olive_build.recipe.sections import Section


@dataclass(frozen=True)
class Speech(Section):
    """What a model of speech is asked for; for families that transcribe."""

    section: ClassVar[str] = "speech"

    language: str | None = knob(
        "The language that is spoken, as the model's code for it, such as en or de. Left out, en.",
        None,
    )
    task: Literal["transcribe", "translate"] = knob(
        "transcribe writes what is said, translate writes it in English. Left out, transcribe.",
        "transcribe",
    )
    input: Literal["audio_pcm", "audio_stream"] = knob(
        "What a single file is given: audio_pcm, float32 samples at the model's rate, or "
        "audio_stream, the bytes of a wav, mp3 or flac file. Left out, audio_pcm.",
        "audio_pcm",
    )
