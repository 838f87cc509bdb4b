"""Sections of a recipe that are some families' own: what a model of speech or of words is asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from olive_build.recipe.fields import Strict


class SpeechSpec(Strict):
    """What a model of speech is asked for; for families that transcribe."""

    language: str | None = Field(
        default=None,
        description="The language that is spoken, as the model's code for it, such as en or de. "
        "Left out, en.",
    )
    task: Literal["transcribe", "translate"] | None = Field(
        default=None,
        description="transcribe writes what is said, translate writes it in English. Left out, "
        "transcribe.",
    )
    input: Literal["audio_pcm", "audio_stream"] | None = Field(
        default=None,
        description="What a single file is given: audio_pcm, float32 samples at the model's rate, "
        "or audio_stream, the bytes of a wav, mp3 or flac file. Left out, audio_pcm.",
    )


class GenerationSpec(Strict):
    """How a model that writes chooses its words: what a bundle promises."""

    max_new_tokens: int | None = Field(
        default=None,
        description="How many tokens follow a prompt at most. A file that searches by itself is "
        "given the number, and this one is what its README begins with.",
    )
    num_beams: int | None = Field(
        default=None,
        description="How many texts are followed side by side; 1 takes the likeliest token each "
        "time. transformers.js has no beams: more than 1 is refused for its layout.",
    )
    repetition_penalty: float | None = Field(
        default=None,
        description="Above 1, tokens that the text has already become less likely; 1 changes "
        "nothing.",
    )
    no_repeat_ngram_size: int | None = Field(
        default=None,
        description="No run of this many tokens comes twice, the prompt included; 0 for no limit.",
    )
    length_penalty: float | None = Field(
        default=None,
        description="With beams: the power of its length that a text's score is divided by. Above "
        "0 longer texts win, below 0 shorter ones, which a single file does not do.",
    )
    early_stopping: bool | None = Field(
        default=None,
        description="With beams: true stops when as many texts have ended as there are beams, "
        "false when no better one is likely. A single file does the first alone, which is its "
        "default.",
    )
    num_return_sequences: int | None = Field(
        default=None,
        description="How many texts come of a prompt; 1 in a single file and in transformers.js.",
    )
    do_sample: bool | None = Field(
        default=None,
        description="true draws tokens by their probabilities, which a single file does not do.",
    )
    temperature: float | None = Field(
        default=None, description="With do_sample: above 1 evens out probabilities."
    )
    top_k: int | None = Field(
        default=None,
        description="With do_sample: draws from this many likeliest tokens; 0 from all.",
    )
    top_p: float | None = Field(
        default=None,
        description="With do_sample: draws from the fewest tokens whose probabilities add up to "
        "this. transformers.js ignores it: below 1 is refused for its layout.",
    )
