"""The names of Whisper's graphs and of their ends, as transformers.js asks for them."""

from __future__ import annotations

from olive_build.families.whisper.spec import WhisperFacts

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
