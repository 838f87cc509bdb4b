"""What a Whisper's generation_config.json may say: what changes texts and is not built is refused.

Names and defaults are those of transformers' GenerationConfig and of Whisper's own generate
(models/whisper/generation_whisper.py). What is not named here changes no text, or is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError

# With the values that change nothing.
CLOSED: Mapping[str, tuple[Any, ...]] = {
    "bad_words_ids": (None, []),
    "condition_on_prev_tokens": (None, False),
    "constraints": (None, []),
    "diversity_penalty": (None, 0.0),
    "do_sample": (None, False),
    "encoder_no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1.0),
    "exponential_decay_length_penalty": (None,),
    "force_words_ids": (None, []),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "guidance_scale": (None, 1.0),
    "length_penalty": (None, 1.0),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "no_repeat_ngram_size": (None, 0),
    "num_beam_groups": (None, 1),
    "num_beams": (None, 1),
    "num_return_sequences": (None, 1),
    "penalty_alpha": (None, 0.0),
    "renormalize_logits": (None, False),
    "repetition_penalty": (None, 1.0),
    "return_timestamps": (None, False),
    "sequence_bias": (None, [], {}),
    "stop_strings": (None, []),
    "watermarking_config": (None,),
}


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
