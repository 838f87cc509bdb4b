"""Texts that a causal language model's graph writes, and how likely it finds given texts.

The graph takes some tokens and the cache of those before them, and gives logits and a longer cache:
olive_build/families/causal_lm/names.py has its inputs and outputs. numpy and onnxruntime alone.

Penalties and padding are those of `generate` in huggingface/transformers 5: `_sample` in
src/transformers/generation/utils.py, and logits_process.py beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.clients.onnxruntime_client import run_named
from olive_build.errors import StepError

INPUT_IDS, ATTENTION_MASK, POSITION_IDS = "input_ids", "attention_mask", "position_ids"
LOGITS, PAST, PRESENT = "logits", "past_key_values.", "present."
MAX_NEW_TOKENS, SEQUENCES = "max_new_tokens", "sequences"
# Where transformers.js puts what is masked (`cumsum_masked_fill` in src/models/modeling_utils.js of
# huggingface/transformers.js 4.3.1). Nobody sees what is computed there, but dynamic ranges do.
MASKED_POSITION = 1
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Cache = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Decoding:
    """How a text is continued, a token at a time, the likeliest each time; names are generate's.

    A token that a row holds already has its logit divided by `repetition_penalty`, or multiplied
    where it is below zero; no run of `no_repeat_ngram_size` tokens occurs twice in a row, 0 for
    any, where padding counts as tokens; the penalty leaves it out. The last three are for files
    that search by themselves.
    """

    max_new_tokens: int
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False


@dataclass(frozen=True)
class Ends:
    """The tokens that end a text (any one of them), and the token that fills rows up."""

    eos: tuple[int, ...]
    pad: int


class CachedModel:
    """A session that takes its cache as inputs and returns it as outputs."""

    def __init__(self, session: Any) -> None:
        """Raise StepError when it is no graph of a causal language model."""
        self._session = session
        inputs = {value.name: value for value in session.get_inputs()}
        self._outputs = [value.name for value in session.get_outputs()]
        self._past = {name: value for name, value in inputs.items() if name.startswith(PAST)}
        _require(inputs, (INPUT_IDS, ATTENTION_MASK), "input")
        _require(self._outputs, (LOGITS, *map(_present, self._past)), "output")
        if not self._past:
            raise StepError(
                "the model has no cache", why=f"none of its inputs is called {PAST}0.key"
            )

    @property
    def is_half(self) -> bool:
        """Whether its cache is float16."""
        return all(value.type == "tensor(float16)" for value in self._past.values())

    def step(self, ids: Ids, mask: Ids, past: Cache | None) -> tuple[Floats, Cache]:
        """Return logits [batch, tokens, vocabulary] of `ids` [batch, tokens], and the longer cache.

        `mask` [batch, tokens before and now] is 0 for padding; `past` is None before the first.
        """
        known = self._empty(len(ids)) if past is None else past
        feeds = {
            INPUT_IDS: ids,
            ATTENTION_MASK: mask,
            POSITION_IDS: positions(mask)[:, -ids.shape[1] :],
        }
        found = dict(zip(self._outputs, run_named(self._session, feeds | known), strict=True))
        logits = found[LOGITS].astype(np.float32)
        if logits.ndim != 3 or logits.shape[:2] != ids.shape:
            raise StepError(
                "the model's logits have another shape than its tokens",
                why=f"they are {list(logits.shape)}; {list(ids.shape)} and a vocabulary are "
                "expected",
            )
        return logits, {name: found[_present(name)] for name in self._past}

    def _empty(self, batch: int) -> Cache:
        return {name: empty_cache(value, batch, 0) for name, value in self._past.items()}


def empty_cache(value: Any, batch: int, length: int) -> npt.NDArray[Any]:
    """Return zeros for an input of a cache [batch, heads, length, head_dim], in its own type.

    Raises StepError when heads and head_dim are no numbers, which clients cannot know either.
    """
    shape = list(value.shape)
    fits = len(shape) == 4 and all(isinstance(shape[axis], int) for axis in (1, 3))
    if not fits or value.type not in TYPES:
        raise StepError(
            f"nobody can make the first cache for the input '{value.name}'",
            why=f"it is {value.type} {shape}; float or float16 [batch, heads, length, size] with "
            "numbers for heads and size is expected",
        )
    return np.zeros((batch, shape[1], length, shape[3]), TYPES[value.type])


def _present(past: str) -> str:
    return PRESENT + past.removeprefix(PAST)


def _require(names: Collection[str], wanted: Sequence[str], what: str) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise StepError(
            f"the model has no {what} '{missing[0]}'",
            why=f"its {what}s are {', '.join(names) or 'none'}",
        )


def positions(mask: Ids) -> Ids:
    """Return each token's position [batch, tokens] for a mask [batch, tokens] that is 0 on padding.

    They count the tokens before it that are none.
    """
    return np.where(mask == 0, MASKED_POSITION, mask.cumsum(1) - 1)


def padded(rows: Sequence[npt.NDArray[Any]], pad: int) -> tuple[Ids, Ids]:
    """Return ids and mask [rows, longest] of rows of tokens, padded on the left."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        if len(row):
            ids[index, -len(row) :], mask[index, -len(row) :] = row, 1
    return ids, mask


def searched(
    session: Any, prompts: Sequence[npt.NDArray[Any]], how: Decoding, ends: Ends
) -> tuple[tuple[int, ...], ...]:
    """Return what a file that contains the search writes after each prompt, in one batch.

    It takes `max_new_tokens`, and gives `sequences` [batch, tokens] with the prompts before them.
    Raises StepError when it gives others.
    """
    ids, mask = padded(prompts, ends.pad)
    feeds = {INPUT_IDS: ids, ATTENTION_MASK: mask, MAX_NEW_TOKENS: np.array([how.max_new_tokens])}
    names = [value.name for value in session.get_outputs()]
    found = run_named(session, feeds)[names.index(SEQUENCES)]
    start = ids.shape[1]
    if found.ndim != 2 or len(found) != len(ids) or (found[:, :start] != ids).any():
        raise StepError(
            "the model's output is not the prompts with what follows them",
            why=f"for prompts {list(ids.shape)} it gives {found.dtype} {list(found.shape)}",
        )
    return tuple(until_end(row, ends) for row in found[:, start:].tolist())


def continued(
    model: CachedModel, prompts: Sequence[npt.NDArray[Any]], how: Decoding, ends: Ends
) -> tuple[tuple[int, ...], ...]:
    """Return the token ids that follow each prompt, up to the one that ends it, in one batch."""
    ids, mask = padded(prompts, ends.pad)
    given, past, start = ids, None, ids.shape[1]
    running = np.ones(len(ids), bool)
    for _ in range(how.max_new_tokens):
        logits, past = model.step(given, mask, past)
        best = penalized(logits[:, -1], ids, mask, how).argmax(1)
        given = np.where(running, best, ends.pad)[:, None]
        ids = np.concatenate([ids, given], 1)
        mask = np.concatenate([mask, np.ones_like(given)], 1)
        running &= ~np.isin(given[:, 0], ends.eos)
        if not running.any():
            break
    return tuple(until_end(row, ends) for row in ids[:, start:].tolist())


def until_end(written: Sequence[int], ends: Ends) -> tuple[int, ...]:
    """Return the tokens up to and including the first that ends a text."""
    last = next((place for place, token in enumerate(written) if token in ends.eos), len(written))
    return tuple(written[: last + 1])


def penalized(scores: Floats, ids: Ids, mask: Ids, how: Decoding) -> Floats:
    """Return logits [batch, vocabulary] as they are chosen from after `ids` [batch, tokens].

    `mask` [batch, tokens] is 0 for padding on the left, which is not penalized. transformers.js
    penalizes that too: a mask of ones does as it does.
    """
    scores = scores.copy()
    if how.repetition_penalty != 1:
        first = np.take_along_axis(ids, mask.argmax(1)[:, None], 1)
        own, penalty = np.where(mask == 0, first, ids), np.float32(how.repetition_penalty)
        found = np.take_along_axis(scores, own, 1)
        np.put_along_axis(scores, own, np.where(found < 0, found * penalty, found / penalty), 1)
    if how.no_repeat_ngram_size:
        for row, tokens in zip(scores, ids.tolist(), strict=True):
            row[repeating(tokens, how.no_repeat_ngram_size)] = -np.inf
    return scores


def repeating(tokens: Sequence[int], size: int) -> list[int]:
    """Return the tokens that would end a run of `size` tokens that `tokens` already contains."""
    before = tuple(tokens[len(tokens) + 1 - size :]) if len(tokens) + 1 >= size else None
    return [
        tokens[end]
        for end in range(size - 1, len(tokens))
        if tuple(tokens[end + 1 - size : end]) == before
    ]


def scored(logits: Floats, ids: Ids) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Return, of a text [tokens], what its logits [tokens, vocabulary] say of the next tokens.

    For every token but the first its negative log probability, natural, and the likeliest in its
    place. Raises StepError when one is no number.
    """
    said, best = logits[:-1].astype(np.float64), logits[:-1].argmax(1)
    said -= said.max(1, keepdims=True)
    own = np.take_along_axis(said, ids[1:, None], 1)[:, 0]
    nll = np.log(np.exp(said).sum(1)) - own
    if not np.isfinite(nll).all():
        raise StepError(
            "the model's logits are no numbers",
            why=f"{int((~np.isfinite(nll)).sum())} of {len(nll)} tokens of a text have no "
            "probability",
            hint="a value overflowed, as in float16, or a weight is damaged",
        )
    return nll.astype(np.float32), best.astype(np.int32)


def read_text(model: CachedModel, ids: Ids) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Give the model a text [tokens] at once and return what it predicts; see `scored`."""
    logits, _ = model.step(ids[None], np.ones((1, len(ids)), np.int64), None)
    return scored(logits[0], ids)
