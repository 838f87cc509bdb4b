"""What transformers' generate does with a Whisper: what every file is held against.

Imported in worker processes only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from olive_build.families.loading import Loaded, from_files
from olive_build.families.whisper.clips import read_clips
from olive_build.families.whisper.sample import length_of, sound
from olive_build.families.whisper.spec import WhisperFacts, inspect
from olive_build.proof.audio import samples_of
from olive_build.proof.references.transcription import Case, Decoding, TranscriptionReference

Ids = npt.NDArray[np.int64]


def load(folder: Path, attention: str = "sdpa") -> Any:
    """Return the model in eval mode, in fp32 whatever its weights are stored in.

    `attention` is transformers' implementation: sdpa as it is by default, and is timed; eager is
    what exports to plain operators.
    """
    return loading(folder, attention).model


def loading(folder: Path, attention: str = "sdpa") -> Loaded:
    """Return the model with what is to be said of its files; see `from_files`."""

    def run(model: Any) -> Any:
        facts = inspect(folder)
        sound = torch.ones(1, facts.mel_bins, facts.frames)
        return model(input_features=sound, decoder_input_ids=torch.tensor([[facts.start]])).logits

    kind = transformers.WhisperForConditionalGeneration
    return from_files(kind, folder, run, attn_implementation=attention)


@dataclass(frozen=True)
class Generated:
    """Token ids [returned, length], the prompt included, padded at the end.

    `margin` is the least distance of the best score to the second, where it was asked for.
    """

    ids: Ids
    margin: float = 0.0


@functools.cache
def _extractor(folder: Path) -> Any:
    return transformers.WhisperFeatureExtractor.from_pretrained(str(folder))


@functools.cache
def _tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(str(folder))


def features_of(folder: Path, audio: npt.NDArray[Any]) -> torch.Tensor:
    """Return the log-mel features [1, mel_bins, frames] of stored audio [samples].

    Longer audio is cut at the model's window, as transformers' feature extractor does.
    """
    extractor = _extractor(folder)
    found = extractor(samples_of(audio), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    features: torch.Tensor = found.input_features
    return features


def generate(
    model: Any,
    facts: WhisperFacts,
    features: torch.Tensor,
    prompt: Sequence[int],
    *,
    with_margin: bool = False,
    **settings: Any,
) -> Generated:
    """Run transformers' generate on features; `settings` are its own arguments.

    The generic generate, by the model's own generation_config.json: Whisper's takes its beams' best
    alone, strips the prompt and cuts audio into windows. Beams stop
    when as many texts as there are beams are complete (`early_stopping`), which is the rule of
    onnxruntime's search; transformers' default may go on, and find others among the last returned.
    """
    given = {"num_beams": 1, "max_length": facts.positions, **settings}
    given.setdefault("early_stopping", given["num_beams"] > 1)
    with torch.inference_mode():
        found = transformers.GenerationMixin.generate(
            model,
            input_features=features,
            decoder_input_ids=torch.tensor([list(prompt)]),
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=with_margin,
            **given,
        )
    margin = 0.0
    if with_margin:
        best = torch.stack(found.scores).topk(2, dim=-1).values
        margin = float((best[..., 0] - best[..., 1]).min())
    return Generated(found.sequences.numpy(), margin)


def decode(folder: Path, ids: Ids) -> tuple[str, ...]:
    """Return the texts of ids [rows, length], special tokens and timestamps left out."""
    return tuple(_tokenizer(folder).batch_decode(ids, skip_special_tokens=True))


# A proof's clips are short: this is more than is said in them, and ends a model that would not.
MOST_TOKENS = 96
CASE_CLIPS = 3
# Other ways to decode, each on some clips: beams, several returned, both penalties. Not one beam
# with a repetition penalty: onnxruntime gives it to log probabilities, transformers to scores.
CASES: tuple[dict[str, Any], ...] = (
    {"num_beams": 2},
    {"num_beams": 4},
    {"num_beams": 4, "num_return_sequences": 2},
    {"num_beams": 3, "length_penalty": 0.6},
    {"num_beams": 4, "num_return_sequences": 4, "length_penalty": 2.0},
    {"num_beams": 2, "repetition_penalty": 1.3},
)


def reference(
    folder: Path,
    data: Path,
    *,
    task: str,
    language: str | None = None,
    input: str = "",  # noqa: A002 - the recipe's word; how a file is fed changes no text
) -> TranscriptionReference:
    """Return PyTorch's transcripts of the clips in `data`. Raises StepError for bad data."""
    facts, model = inspect(folder), load(folder)
    prompt = facts.prompt(language, task)
    clips = read_clips(data, what="the proof's data")
    decoding = Decoding(max_length=min(facts.positions, MOST_TOKENS))
    features = [features_of(folder, samples) for samples in clips.stored]

    asked: dict[str, Any] = {}
    if facts.languages:
        asked = {"language": facts.language_of(language), "task": task}
    if not hasattr(model.generation_config, "no_timestamps_token_id"):
        # Of so old a file its own generate takes neither, and the prompt as it is.
        asked = {"decoder_input_ids": torch.tensor([list(prompt)])}
    new_tokens = decoding.max_length - len(prompt)

    def transcribed(row: int) -> str:
        """Return what Whisper's own generate makes of a clip, as its users call it."""
        with torch.inference_mode():
            ids = model.generate(
                features[row], max_new_tokens=new_tokens, return_timestamps=False, **asked
            )
        return decode(folder, ids.numpy())[0]

    def heard(row: int, how: Decoding) -> tuple[str, ...]:
        found = generate(model, facts, features[row], prompt, **asdict(how))
        return decode(folder, found.ids)

    spoken = [row for row, text in enumerate(clips.texts) if text][:CASE_CLIPS]
    ways = [replace(decoding, **way) for way in CASES]
    return TranscriptionReference(
        clips=clips.stored,
        truth=clips.texts,
        texts=tuple(transcribed(row) for row in range(len(clips.texts))),
        decoding=decoding,
        cases=tuple(Case(row, how, heard(row, how)) for row in spoken for how in ways),
    )


def runner(
    folder: Path, model: Any, takes: str, sample: str, size: int, batch: int
) -> Callable[[], Any]:
    """Return a call that transcribes `size` seconds in PyTorch eager, for timing.

    `takes` is `audio`, for all that an application does, or `features`, for the model alone. As
    many tokens are written as a file is asked for.
    """
    facts = inspect(folder)
    prompt, length = facts.prompt(None, "transcribe"), min(length_of(size), facts.positions)
    extractor, tokenizer = _extractor(folder), _tokenizer(folder)
    audio = sound(size)[0]

    def prepared() -> torch.Tensor:
        found = extractor(audio, sampling_rate=facts.sampling_rate, return_tensors="pt")
        features: torch.Tensor = found.input_features
        return features

    known = prepared()

    def run() -> Any:
        features = prepared() if takes == "audio" else known
        found = generate(model, facts, features, prompt, min_length=length, max_length=length)
        return tokenizer.batch_decode(found.ids, skip_special_tokens=True)

    return run
