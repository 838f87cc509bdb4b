"""What is said: short commands, apart for pretraining, for enrolment and for trials."""

from __future__ import annotations

import numpy as np

VERBS = (
    *("open", "close", "find", "start", "stop", "show me", "call", "turn on", "turn off", "play"),
    *("read", "check", "lock", "send", "change", "where is"),
)
OBJECTS = (
    *("the garage", "the kitchen light", "my brother", "the music", "the last message"),
    *("the window", "my calendar", "the news", "a timer", "the front door", "the heating"),
    *("my photos", "the camera", "the radio", "my doctor", "the blue lamp", "the weather"),
    *("the television", "our house", "the bus ticket", "her number", "the oven", "a short video"),
    *("the volume", "my keys", "the alarm", "the coffee machine", "his letter"),
)
# What an owner is asked to say, and what an owner says afterwards.
ENROLMENT, HELD_OUT = 16, 40
SEED = 11


def phrases() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return all phrases in three parts without a common one: pretraining, enrolment, held out."""
    everything = [f"{verb} {what}" for verb in VERBS for what in OBJECTS]
    order = np.random.default_rng(SEED).permutation(len(everything))
    mixed = tuple(everything[at] for at in order)
    held_out = ENROLMENT + HELD_OUT
    return mixed[held_out:], mixed[:ENROLMENT], mixed[ENROLMENT:held_out]
