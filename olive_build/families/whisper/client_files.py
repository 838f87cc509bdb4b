"""The configuration that transformers.js asks for, from what transformers saved.

Version 5 of transformers writes processor_config.json; the client reads preprocessor_config.json
alone, and without it has no processor at all. It never looks into the tokenizer for the prompt:
that is what generation_config.json names, and a length that is not there is 20 tokens. A setting of
that file that changes texts and is not built is refused.

What the client reads: src/models/auto/processing_auto.js, src/models/whisper/modeling_whisper.js
and src/generation/configuration_utils.js of huggingface/transformers.js 4.3.1. What Whisper adds to
generation_config.json: models/whisper/generation_whisper.py of transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.errors import PlanError
from olive_build.families.generation_keys import CHANGES

if TYPE_CHECKING:
    from olive_build.families.whisper.spec import WhisperFacts

PREPROCESSOR = "preprocessor_config.json"


def preprocessor_config(facts: WhisperFacts, settings: Mapping[str, Any]) -> bytes:
    """Return preprocessor_config.json: how audio is prepared, `settings` and the facts' sizes."""
    sizes = {
        "chunk_length": facts.seconds,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": facts.mel_bins,
        "hop_length": facts.hop_length,
        "n_fft": facts.n_fft,
        "n_samples": facts.window,
        "nb_max_frames": facts.frames,
        "processor_class": "WhisperProcessor",
        "sampling_rate": facts.sampling_rate,
    }
    return _bytes({**settings, **sizes})


def generation_config(facts: WhisperFacts, generation: Mapping[str, Any]) -> bytes:
    """Return generation_config.json: `generation`, and all that the client's prompt is made of.

    What is never generated is written even where nothing is: the client would else take it from
    config.json, which transformers does not.
    """
    known = {"return_timestamps": False, "max_length": facts.positions, **generation}
    tokens: dict[str, Any] = {
        "begin_suppress_tokens": list(facts.suppressed_first) or None,
        "decoder_start_token_id": facts.start,
        "eos_token_id": facts.end,
        "is_multilingual": bool(facts.languages),
        "no_timestamps_token_id": facts.no_timestamps,
        "pad_token_id": facts.pad,
        "suppress_tokens": list(facts.suppressed) or None,
    }
    if facts.languages:
        tokens["lang_to_id"] = {f"<|{code}|>": index for code, index in facts.languages.items()}
        tokens["task_to_id"] = dict(facts.tasks)
    else:
        # The client refuses to name them for a model that has one language.
        for key in ("language", "task", "lang_to_id", "task_to_id"):
            known.pop(key, None)
    return _bytes({**known, **tokens})


def _bytes(data: Mapping[str, Any]) -> bytes:
    """Return JSON in one order, so that equal configurations are equal bytes."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


# Tokens that are never written are in the graph.
READ = ("suppress_tokens", "begin_suppress_tokens")
# Beside those of all models, with the values that change nothing.
OF_WHISPER: Mapping[str, tuple[Any, ...]] = {
    "condition_on_prev_tokens": (None, False),
    "return_timestamps": (None, False),
}
CLOSED = {name: harmless for name, harmless in CHANGES.items() if name not in READ} | dict(
    OF_WHISPER
)


def check_generation(path: Path, generation: Mapping[str, Any]) -> None:
    """Raise PlanError for a setting under which generate would write other texts than a file."""
    for name, harmless in CLOSED.items():
        if generation.get(name) not in harmless:
            raise PlanError(
                f"{name} is {generation[name]!r}, which is not built",
                where=str(path),
                why="generate heeds it, and the file would not",
                hint=f"take {name} out if it is not meant; beams and penalties are given to a file "
                "when it is run",
            )
