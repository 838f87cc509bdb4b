"""The configuration that transformers.js asks for, from what transformers saved.

The client reads generation_config.json always (src/models/modeling_utils.js of
huggingface/transformers.js 4.3.1), and older models have none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CONFIG, GENERATION = "config.json", "generation_config.json"
# What is not in generation_config.json is looked for in config.json.
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def special_tokens(config: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ids of the tokens that begin, end and fill texts, as generation goes by them."""
    either = {key: (saved.get(key), config.get(key)) for key in TOKENS}
    found = {key: other if own is None else own for key, (own, other) in either.items()}
    return {key: value for key, value in found.items() if value is not None}


def generation_config(config: Mapping[str, Any], saved: Mapping[str, Any]) -> bytes:
    """Return generation_config.json: what was saved, and the tokens that only `config` names."""
    return _bytes({**saved, **special_tokens(config, saved)})


def with_promise(written: bytes, options: Mapping[str, str]) -> bytes:
    """Return generation_config.json with a recipe's `options`, JSON texts, over what it says."""
    asked = {name: json.loads(text) for name, text in options.items()}
    return _bytes(json.loads(written) | asked)


def _bytes(data: Mapping[str, Any]) -> bytes:
    """Return JSON in one order, so that equal configurations are equal bytes."""
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()
