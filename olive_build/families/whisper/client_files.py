"""The configuration that transformers.js asks for, from what transformers saved.

Version 5 of transformers writes processor_config.json; the client reads preprocessor_config.json
alone, and without it has no processor at all. It never looks into the tokenizer for the prompt:
that is what generation_config.json names, and a length that is not there is 20 tokens.

What the client reads: src/models/auto/processing_auto.js, src/models/whisper/modeling_whisper.js
and src/generation/configuration_utils.js of huggingface/transformers.js 4.3.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
