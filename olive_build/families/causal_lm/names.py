"""The ends of a decoder-only language model's graph, as transformers.js asks for them.

    input_ids       int64 [batch_size, sequence_length]
    attention_mask  int64 [batch_size, total_sequence_length]
    position_ids    int64 [batch_size, sequence_length], where the model is given positions
    past_key_values.N.key, .value  [batch_size, heads, past_sequence_length, size]

    logits  [batch_size, sequence_length, vocabulary]
    present.N.key, .value  [batch_size, heads, total_sequence_length, size]

The client fills in `batch_size` by that name and takes every other symbol for 0 when it makes the
first, empty cache: src/models/modeling_utils.js of huggingface/transformers.js 4.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.families.causal_lm.sizes import Sizes

INPUT_IDS, ATTENTION_MASK, POSITION_IDS = TOKEN_INPUTS = (
    "input_ids",
    "attention_mask",
    "position_ids",
)
LOGITS = "logits"
BATCH, SEQUENCE = "batch_size", "sequence_length"
PAST, TOTAL = "past_sequence_length", "total_sequence_length"


def token_names(sizes: Sizes) -> tuple[str, ...]:
    """Return the inputs that say which tokens there are and where."""
    return TOKEN_INPUTS if sizes.positions else TOKEN_INPUTS[:2]


def past_names(layers: int) -> tuple[str, ...]:
    """Return the caches that a step takes, key and value of each layer."""
    return _names("past_key_values", layers)


def present_names(layers: int) -> tuple[str, ...]:
    """Return the caches that a step gives, in the order of those it takes."""
    return _names("present", layers)


def input_names(sizes: Sizes) -> tuple[str, ...]:
    """Return all inputs of the graph in their order."""
    return (*token_names(sizes), *past_names(sizes.layers))


def output_names(sizes: Sizes) -> tuple[str, ...]:
    """Return all outputs of the graph in their order."""
    return (LOGITS, *present_names(sizes.layers))


def axes(sizes: Sizes) -> Mapping[str, Mapping[int, str]]:
    """Return the symbolic axes of every input and output; all other axes are numbers."""
    tokens = {0: BATCH, 1: SEQUENCE}
    return (
        dict.fromkeys(token_names(sizes), tokens)
        | {ATTENTION_MASK: {0: BATCH, 1: TOTAL}}
        | {name: {0: BATCH, 2: PAST} for name in past_names(sizes.layers)}
        | {LOGITS: tokens}
        | {name: {0: BATCH, 2: TOTAL} for name in present_names(sizes.layers)}
    )


def _names(prefix: str, layers: int) -> tuple[str, ...]:
    return tuple(f"{prefix}.{n}.{what}" for n in range(layers) for what in ("key", "value"))
