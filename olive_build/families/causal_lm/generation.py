"""How a model chooses its words: what a recipe asks for, over what the model's own files say.

A recipe's section `generation` wins over generation_config.json, and that over the values that
transformers' generate has by itself (src/transformers/generation/configuration_utils.py of
huggingface/transformers 5).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from olive_build.families.causal_lm.client_files import GENERATION
from olive_build.families.configuration import read_object, unreadable

# What generate does in new tokens where nobody says it: its own max_length of 20 counts the prompt.
NEW_TOKENS = 20
# kMaxSequenceLength in
# onnxruntime/contrib_ops/cpu/transformers/beam_search_parameters.cc of microsoft/onnxruntime.
LONGEST = 4096


@dataclass(frozen=True)
class Decoding:
    """What generate is given; the names are its own.

    `max_new_tokens` is None where only a `max_length`, the prompt included, is known, or neither.
    `early_stopping` is for several beams alone, and what follows `do_sample` for sampling alone.
    """

    max_new_tokens: int | None = None
    num_beams: int = 1
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    num_return_sequences: int = 1
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


NAMES = tuple(field.name for field in fields(Decoding))


def decoding(folder: Path, options: Mapping[str, str]) -> Decoding:
    """Return how the model in `folder` is to generate, `options` being a recipe's as JSON texts.

    Raises PlanError when generation_config.json cannot be read or holds values of other types.
    """
    own = _own(folder)
    asked = {name: json.loads(options[name]) for name in NAMES if name in options}
    return Decoding(**(own | asked))


def _own(folder: Path) -> dict[str, Any]:
    """Return what the model's generation_config.json says of how words are chosen."""
    path = folder / GENERATION
    saved = read_object(path)
    found = {name: saved[name] for name in NAMES if saved.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, bool | int | float) and name != "early_stopping":
            why = f"'{name}' is {value!r}, and generate takes a number"
            raise unreadable(path, why)
    return found
