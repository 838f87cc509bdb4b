"""What a Whisper is, read from its configuration alone: no weights, no torch.

The files are those that transformers writes: config.json, generation_config.json,
preprocessor_config.json or processor_config.json (how audio is prepared) and tokenizer.json. Every
size of Whisper, and its English-only models, differ in these files alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import none_of, read_configuration
from olive_build.families.facts import Asked, Axes, Component, Facts
from olive_build.families.feature_extractor import read_extractor
from olive_build.families.weight_files import ties_words
from olive_build.families.whisper.client_files import (
    PREPROCESSOR,
    check_generation,
    generation_config,
    preprocessor_config,
)

CONFIG = "config.json"
GENERATION = "generation_config.json"
TOKENIZER = "tokenizer.json"
EXTRACTOR = "WhisperFeatureExtractor"
# The settings of it that the audio graph is made by.
HANDLED = ("feature_size", "sampling_rate", "hop_length", "chunk_length", "n_fft")
# What the page of a browser and other clients of the parts ask for, besides what is written for
# them; the rest only where it is.
CLIENT_FILES = (CONFIG, TOKENIZER)
OPTIONAL_CLIENT_FILES = (
    "processor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "normalizer.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)
# What a single file is given where it takes no bytes of a file.
SAMPLES = "audio_pcm"
START, NO_TIMESTAMPS = "<|startoftranscript|>", "<|notimestamps|>"
TASKS = ("transcribe", "translate")
# The weights that look words up and score them, as their files name them.
TABLE, SCORES = "embed_tokens.weight", "proj_out.weight"
# The encoder halves the number of frames once.
FRAMES_PER_POSITION = 2
_not_this_family = none_of(
    "whisper",
    "the folder must be as transformers saves a WhisperForConditionalGeneration and its "
    "WhisperProcessor",
)
_read = partial(read_configuration, refused=_not_this_family)


@dataclass(frozen=True, kw_only=True)
class WhisperFacts(Facts):
    """The numbers that exporting, preparing audio, composing and decoding need.

    `window` is the length of the model's audio in samples: longer audio is cut, shorter padded.
    `languages` and `tasks` map names to the ids of their tokens; English-only models have none.
    `suppressed` are tokens that are never generated, `suppressed_first` those that are not
    generated first. Tokens from `specials_from` on are no text. `tied` models score words by the
    table that they look words up in.
    """

    dimensions: int
    encoder_layers: int
    decoder_layers: int
    encoder_heads: int
    decoder_heads: int
    vocabulary: int
    positions: int
    mel_bins: int
    sampling_rate: int
    n_fft: int
    hop_length: int
    window: int
    start: int
    end: int
    pad: int
    no_timestamps: int
    languages: Mapping[str, int]
    tasks: Mapping[str, int]
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]
    specials_from: int
    language: str | None = None
    inputs: tuple[str, ...] = ("input_features",)
    tied: bool = True

    @property
    def components(self) -> tuple[Component, ...]:
        """The encoder, and the decoder at its first step and at later ones."""
        first = Component(
            "decoder",
            attentions=2 * self.decoder_layers,
            tied=self.tied,
            weights="both",
            fed_by=("encoder",),
        )
        return (
            Component("encoder", attentions=self.encoder_layers, weights="both"),
            first,
            replace(first, name="decoder_with_past", fed_by=("encoder", "decoder")),
        )

    @property
    def frames(self) -> int:
        """How many log-mel frames a window has."""
        return self.window // self.hop_length

    @property
    def source_positions(self) -> int:
        """How many hidden states the encoder gives for a window."""
        return self.frames // FRAMES_PER_POSITION

    @property
    def seconds(self) -> int:
        """The window's length in seconds."""
        return self.window // self.sampling_rate

    @property
    def longest(self) -> int:
        """The longest audio that is timed, in seconds: a longer one would be cut."""
        return self.seconds

    def check(self, folder: Path, asked: Asked) -> None:
        """Raise PlanError for a language or task that the model does not have."""
        if asked.options:
            self.prompt(asked.options.get("language"), asked.options["task"])

    def prompt(self, language: str | None, task: str) -> tuple[int, ...]:
        """Return the tokens that a transcription starts with.

        Raises PlanError for a language or task that the model does not have.
        """
        if not self.languages:
            if task != "transcribe" or language not in (None, "en"):
                raise PlanError(
                    "the model transcribes English alone",
                    why=f"it has no token for language '{language}' and task '{task}'",
                    hint="leave `speech` out of the recipe, or use a multilingual model",
                )
            return (self.start, self.no_timestamps)
        chosen = self.language_of(language)
        if chosen not in self.languages:
            known = ", ".join(sorted(self.languages))
            raise PlanError(
                f"the model has no language '{chosen}'",
                why=f"its languages are {known}",
                hint="correct `speech: {language: ...}` in the recipe",
            )
        if task not in self.tasks:
            raise PlanError(
                f"the model cannot {task}",
                why=f"it has no token for that; its tasks are {', '.join(sorted(self.tasks))}",
                hint="correct `speech: {task: ...}` in the recipe",
            )
        return (self.start, self.languages[chosen], self.tasks[task], self.no_timestamps)

    def language_of(self, language: str | None) -> str:
        """Return the code of the language that is spoken: the recipe's, the model's or English."""
        return language or self.language or "en"

    def templates(self, language: str, takes: Axes) -> dict[str, tuple[str, ...]]:
        """Return the templates of the code that loads a bundle: see `families.Axes`.

        Of a model in parts, transformers.js runs all, or Python the encoder where it is fixed.
        """
        first, axes = next(iter(takes.items()))
        if first == self.inputs[0]:
            fixed = language != "transformers_js" and all(isinstance(axis, int) for axis in axes)
            return {"": ("encoder.python" if fixed else "features.transformers_js",)}
        further: dict[str, tuple[str, ...]] = {}
        if language == "kotlin" and first == SAMPLES:
            further["From the microphone"] = ("microphone.kotlin",)
        if language in ("kotlin", "swift"):
            further["From React Native"] = ("audio.javascript",)
            further["From .NET MAUI"] = ("maui", "audio.csharp")
        return {"": (f"audio.{language}",), **further}

    def placeholders(self, takes: Axes, options: Mapping[str, str]) -> dict[str, str]:
        """Return what that code may name of the model."""
        first = next(iter(takes))
        given = {"language": "en", "task": "transcribe"} | dict(options)
        rate = self.sampling_rate
        samples = f"mono, from -1 to 1, {rate} numbers a second"
        return {
            "sampling_rate": str(rate),
            "seconds": str(self.seconds),
            "longest_text": str(self.positions),
            "mel_bins": str(self.mel_bins),
            "frames": str(self.frames),
            "audio_is": samples if first == SAMPLES else "the bytes of a wav, mp3 or flac file",
            "example": f"np.zeros({rate}, np.float32)  # yours"
            if first == SAMPLES
            else 'np.fromfile("clip.wav", np.uint8)',
            "limits": "" if first == self.inputs[0] else self._limits(),
            "language_options": f", {{ language: '{given['language']}', task: '{given['task']}' }}"
            if self.languages
            else "",
        }

    def _limits(self) -> str:
        return (
            f"Audio after the first {self.seconds} s is cut off. max_length counts the prompt's "
            f"tokens too and is at most {self.positions}; num_return_sequences is at most "
            "num_beams."
        )


def inspect(folder: Path) -> WhisperFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    config, generation = _read(folder, CONFIG), _read(folder, GENERATION)
    tokens = _tokens(_read(folder, TOKENIZER))
    extractor = read_extractor(folder, EXTRACTOR, HANDLED, _not_this_family)
    audio = extractor.settings
    if config.get("model_type") != "whisper":
        raise _not_this_family(folder, f"its model_type is {config.get('model_type')!r}")
    try:
        facts = WhisperFacts(
            architecture="whisper",
            dimensions=int(config["d_model"]),
            encoder_layers=int(config["encoder_layers"]),
            decoder_layers=int(config["decoder_layers"]),
            encoder_heads=int(config["encoder_attention_heads"]),
            decoder_heads=int(config["decoder_attention_heads"]),
            vocabulary=int(config["vocab_size"]),
            positions=int(config["max_target_positions"]),
            mel_bins=int(config["num_mel_bins"]),
            sampling_rate=int(audio["sampling_rate"]),
            n_fft=int(audio["n_fft"]),
            hop_length=int(audio["hop_length"]),
            window=int(audio["chunk_length"]) * int(audio["sampling_rate"]),
            start=int(config["decoder_start_token_id"]),
            end=int(config["eos_token_id"]),
            pad=int(config["pad_token_id"]),
            no_timestamps=tokens[NO_TIMESTAMPS],
            languages=_languages(generation, tokens),
            tasks={name: tokens[f"<|{name}|>"] for name in TASKS if f"<|{name}|>" in tokens},
            suppressed=_ids(generation, "suppress_tokens"),
            suppressed_first=_ids(generation, "begin_suppress_tokens"),
            specials_from=int(config["eos_token_id"]),
            client_files=(
                *CLIENT_FILES,
                *(name for name in OPTIONAL_CLIENT_FILES if (folder / name).is_file()),
            ),
            language=_language(generation),
            notes=extractor.notes,
            tied=ties_words(folder, config, TABLE, SCORES, by_default=True),
        )
    except (KeyError, TypeError, ValueError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise _not_this_family(folder, why) from error
    _check(folder, facts, config, int(audio["feature_size"]))
    check_generation(folder / GENERATION, generation)
    written = {
        PREPROCESSOR: preprocessor_config(facts, audio),
        GENERATION: generation_config(facts, generation),
    }
    return replace(facts, written_files=written)


def _check(folder: Path, facts: WhisperFacts, config: Mapping[str, Any], bins: int) -> None:
    if facts.mel_bins != bins:
        why = f"config.json has {facts.mel_bins} mel bins, the feature extractor {bins}"
        raise _not_this_family(folder, why)
    positions = int(config["max_source_positions"])
    if facts.source_positions != positions:
        why = (
            f"{facts.seconds} s of audio make {facts.source_positions} positions, and the encoder "
            f"has {positions}"
        )
        raise _not_this_family(folder, why)


def _languages(generation: Mapping[str, Any], tokens: Mapping[str, int]) -> dict[str, int]:
    """Return codes with the ids of their tokens, from either of the files that has them."""
    if generation.get("is_multilingual") is False:
        return {}
    named = generation.get("lang_to_id")
    if named is None:
        first, last = tokens[START] + 1, tokens.get("<|translate|>", 0)
        named = {text: index for text, index in tokens.items() if first <= index < last}
    return {text.strip("<|>"): int(index) for text, index in sorted(named.items())}


def _language(generation: Mapping[str, Any]) -> str | None:
    """Return the code of the language that the model is set to, where it is to one."""
    named = generation.get("language")
    return str(named).strip("<|>") if named else None


def _ids(generation: Mapping[str, Any], key: str) -> tuple[int, ...]:
    return tuple(int(index) for index in generation.get(key) or ())


def _tokens(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Return the tokens that are no text, with their ids."""
    return {str(item["content"]): int(item["id"]) for item in tokenizer.get("added_tokens", ())}


# The names of the graphs and of their ends, as transformers.js asks for them.
ENCODER, DECODER, DECODER_WITH_PAST = COMPONENTS = ("encoder", "decoder", "decoder_with_past")
INPUT_FEATURES, HIDDEN = "input_features", "last_hidden_state"
INPUT_IDS, ENCODER_STATES, LOGITS = "input_ids", "encoder_hidden_states", "logits"


def past_names(facts: WhisperFacts, whose: str) -> tuple[str, ...]:
    """Return the caches that a later step takes: of the text (decoder) or the audio (encoder)."""
    return _names("past_key_values", facts, whose)


def present_names(facts: WhisperFacts, whose: str) -> tuple[str, ...]:
    """Return the caches that a step gives: of the text (decoder) or the audio (encoder)."""
    return _names("present", facts, whose)


def _names(prefix: str, facts: WhisperFacts, whose: str) -> tuple[str, ...]:
    return tuple(
        f"{prefix}.{layer}.{whose}.{what}"
        for layer in range(facts.decoder_layers)
        for what in ("key", "value")
    )
