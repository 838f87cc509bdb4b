"""The PyTorch side of a Whisper: what is exported, and what it must agree with.

Three graphs serve every composition, so that nothing is exported twice: the encoder, the decoder's
first step, which reads the prompt and makes the caches, and its later steps, a token each.

Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from olive_build.families.whisper.generation import load, loading, reference, runner
from olive_build.families.whisper.spec import (
    DECODER,
    DECODER_WITH_PAST,
    ENCODER,
    ENCODER_STATES,
    HIDDEN,
    INPUT_FEATURES,
    INPUT_IDS,
    LOGITS,
    WhisperFacts,
    inspect,
    past_names,
    present_names,
)
from olive_build.olive_bridge import TorchExport

__all__ = ["load", "loading", "reference", "runner", "torch_export"]

# Traced with sizes that are no powers of two, so that no axis is taken for a constant.
PAST = "past"
EXAMPLE_BATCH, EXAMPLE_PROMPT, EXAMPLE_PAST = 2, 5, 7
# Tokens of the prompt, tokens before a later step, rows. Every row of audio is 1,500 positions, so
# more rows would be the peak of a build's memory.
PROBES = ((1, 3, 1), (4, 5, 2), (6, 11, 1))


class Encoder(torch.nn.Module):
    """input_features [batch_size, mel_bins, frames] -> [batch_size, positions, dimensions]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder: Any = model.model.encoder

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.encoder(input_features).last_hidden_state
        return hidden


class Decoder(torch.nn.Module):
    """The first step: logits of the prompt, and the caches that later steps take."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder: Any = model.model.decoder
        self.proj_out: Any = model.proj_out

    def forward(
        self, input_ids: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        output = self.decoder(
            input_ids=input_ids,
            encoder_hidden_states=encoder_hidden_states,
            past_key_values=cache,
            use_cache=True,
        )
        own, cross = cache.self_attention_cache, cache.cross_attention_cache
        return (self.proj_out(output.last_hidden_state), *_flat(own), *_flat(cross))


class DecoderWithPast(torch.nn.Module):
    """A later step: one token for each row, its logits, and the longer cache of the text.

    The keys and values of the audio come as they were made in the first step.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder: Any = model.model.decoder
        self.proj_out: Any = model.proj_out

    def forward(
        self, input_ids: torch.Tensor, past: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        layers = len(self.decoder.layers)
        own, cross = DynamicCache(), DynamicCache()
        for layer in range(layers):
            for cache, whose in ((own, "decoder"), (cross, "encoder")):
                name = f"past_key_values.{layer}.{whose}"
                cache.update(past[f"{name}.key"], past[f"{name}.value"], layer)
        both = EncoderDecoderCache(own, cross)
        for layer in range(layers):
            both.is_updated[layer] = True
        # Never read, since the caches are there; the decoder looks whether it was given any.
        unread = torch.zeros(1, 1, self.decoder.config.d_model)
        output = self.decoder(
            input_ids=input_ids,
            encoder_hidden_states=unread,
            past_key_values=both,
            use_cache=True,
        )
        return (self.proj_out(output.last_hidden_state), *_flat(own))


def _flat(cache: Any) -> list[torch.Tensor]:
    return [value for layer in cache.layers for value in (layer.keys, layer.values)]


MODULES = {ENCODER: Encoder, DECODER: Decoder, DECODER_WITH_PAST: DecoderWithPast}


def torch_export(folder: Path, component: str) -> TorchExport:
    """Return what Olive's conversion needs for one component; batch and lengths are dynamic."""
    facts = inspect(folder)
    return TorchExport(
        load=lambda: MODULES[component](load(folder, "eager")).eval(),
        example=lambda: probe(facts, component, EXAMPLE_PROMPT, EXAMPLE_PAST),
        inputs=inputs_of(facts, component),
        outputs=outputs_of(facts, component),
        dynamic_axes=axes_of(facts, component),
        grouped={} if component != DECODER_WITH_PAST else {PAST: _past_names(facts)},
        probes=lambda: [probe(facts, component, *sizes) for sizes in PROBES],
        # Other attention than the one that is exported: it computes the same in less memory.
        judge=lambda: MODULES[component](load(folder)).eval(),
    )


def _past_names(facts: WhisperFacts) -> tuple[str, ...]:
    return (*past_names(facts, "decoder"), *past_names(facts, "encoder"))


def inputs_of(facts: WhisperFacts, component: str) -> tuple[str, ...]:
    """Return a component's inputs in their order."""
    if component == ENCODER:
        return (INPUT_FEATURES,)
    if component == DECODER:
        return (INPUT_IDS, ENCODER_STATES)
    return (INPUT_IDS, *_past_names(facts))


def outputs_of(facts: WhisperFacts, component: str) -> tuple[str, ...]:
    """Return a component's outputs in their order."""
    if component == ENCODER:
        return (HIDDEN,)
    own, cross = present_names(facts, "decoder"), present_names(facts, "encoder")
    return (LOGITS, *own, *(cross if component == DECODER else ()))


def axes_of(facts: WhisperFacts, component: str) -> Mapping[str, Mapping[int, str]]:
    """Return the names of the symbolic axes of a component's inputs and outputs."""
    batch = {0: "batch_size"}
    axes: dict[str, Mapping[int, str]] = dict.fromkeys(
        (*inputs_of(facts, component), *outputs_of(facts, component)), batch
    )
    text = {0: "batch_size", 1: "decoder_sequence_length"}
    if component == DECODER:
        axes |= {INPUT_IDS: text, LOGITS: text}
        longer = {0: "batch_size", 2: "decoder_sequence_length"}
        axes |= dict.fromkeys(present_names(facts, "decoder"), longer)
    elif component == DECODER_WITH_PAST:
        past = {0: "batch_size", 2: "past_decoder_sequence_length"}
        longer = {0: "batch_size", 2: "total_decoder_sequence_length"}
        axes |= dict.fromkeys(past_names(facts, "decoder"), past)
        axes |= dict.fromkeys(present_names(facts, "decoder"), longer)
    return axes


def probe(
    facts: WhisperFacts, component: str, prompt: int, past: int, batch: int = EXAMPLE_BATCH
) -> dict[str, npt.NDArray[Any]]:
    """Return seeded inputs of a component: `prompt` tokens, or one after `past` others.

    Both are shortened to what the model has positions for.
    """
    random = np.random.default_rng(0)
    prompt, past = min(prompt, facts.positions), min(past, facts.positions - 1)

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return random.standard_normal(shape).astype(np.float32)

    if component == ENCODER:
        return {INPUT_FEATURES: normal(batch, facts.mel_bins, facts.frames)}
    count = prompt if component == DECODER else 1
    ids = {INPUT_IDS: random.integers(0, facts.vocabulary, (batch, count), dtype=np.int64)}
    if component == DECODER:
        return ids | {ENCODER_STATES: normal(batch, facts.source_positions, facts.dimensions)}
    size = facts.dimensions // facts.decoder_heads
    own, cross = (
        (batch, facts.decoder_heads, length, size) for length in (past, facts.source_positions)
    )
    caches: dict[str, npt.NDArray[Any]] = {
        name: normal(*own) for name in past_names(facts, "decoder")
    }
    return ids | caches | {name: normal(*cross) for name in past_names(facts, "encoder")}
