"""Greedy decoding and probabilities in numpy, held to transformers on seeded models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from torch_language_model import LAYERS, VOCABULARY, TorchSession, gpt_neo

from olive_build.errors import StepError
from olive_build.families.causal_lm.torch_generation import generate
from olive_build.proof.generation import (
    CachedModel,
    Decoding,
    Ends,
    continued,
    padded,
    penalized,
    positions,
    read_text,
    repeating,
    scored,
    searched,
    until_end,
)

MODEL = gpt_neo()
RANDOM = np.random.default_rng(1)
PROMPTS = [RANDOM.integers(1, VOCABULARY, length) for length in (7, 2, 5, 7)]
WAYS = [
    Decoding(20),
    Decoding(20, repetition_penalty=1.3),
    Decoding(20, repetition_penalty=0.8),
    Decoding(20, no_repeat_ngram_size=1),
    Decoding(20, no_repeat_ngram_size=3),
    Decoding(20, repetition_penalty=1.3, no_repeat_ngram_size=2),
]


def by_transformers(prompts: list[Any], how: Decoding, ends: Ends) -> list[tuple[int, ...]]:
    ids, mask = padded(prompts, ends.pad)
    found = generate(MODEL, ids, mask, how, ends).sequences[:, ids.shape[1] :]
    return [until_end(row, ends) for row in found.tolist()]


def ending() -> Ends:
    """An end that some of the rows reach, at different steps."""
    rows = by_transformers(PROMPTS, Decoding(20), Ends((), 0))
    return Ends((rows[0][9], rows[2][4]), 0)


@pytest.mark.parametrize("how", WAYS, ids=lambda how: str(tuple(asdict(how).values())[1:3]))
def test_one_prompt_at_a_time_is_continued_as_by_generate(how: Decoding) -> None:
    model, ends = CachedModel(TorchSession(MODEL)), Ends((), 0)
    for prompt in PROMPTS:
        assert list(continued(model, [prompt], how, ends)) == by_transformers([prompt], how, ends)


@pytest.mark.parametrize("how", WAYS, ids=lambda how: str(tuple(asdict(how).values())[1:3]))
def test_padded_batches_that_end_at_different_steps_are_continued_as_by_generate(
    how: Decoding,
) -> None:
    ends = ending()
    found = continued(CachedModel(TorchSession(MODEL)), PROMPTS, how, ends)
    assert list(found) == by_transformers(PROMPTS, how, ends)


def test_rows_stop_with_the_token_that_ends_them_and_all_stop_with_the_last() -> None:
    session, ends = TorchSession(MODEL), ending()
    found = continued(CachedModel(session), PROMPTS[:1], Decoding(20), ends)
    assert found[0][-1] in ends.eos
    assert len(session.fed) == len(found[0]) < 20


def test_a_step_is_given_one_token_and_the_cache_of_those_before() -> None:
    session = TorchSession(MODEL, half=True)
    continued(CachedModel(session), PROMPTS, Decoding(3), Ends((), 0))
    first, second, third = session.fed
    assert first["input_ids"].shape == (4, 7)
    assert first["past_key_values.0.key"].shape == (4, 2, 0, 8)
    assert {first[f"past_key_values.{LAYERS - 1}.value"].dtype} == {np.dtype(np.float16)}
    assert [step["input_ids"].shape for step in (second, third)] == [(4, 1), (4, 1)]
    assert third["past_key_values.0.key"].shape == (4, 2, 8, 8)
    assert third["attention_mask"].tolist()[1] == [0] * 5 + [1] * 4
    assert third["position_ids"].tolist() == [[8], [3], [6], [8]]


def test_padding_stands_where_the_browser_s_client_puts_it() -> None:
    mask = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    assert positions(mask).tolist() == [[1, 1, 0, 1, 2], [0, 1, 2, 3, 4]]


def test_rows_are_padded_on_the_left() -> None:
    ids, mask = padded([np.array([5, 6, 7]), np.array([8]), np.array([], int)], 9)
    assert ids.tolist() == [[5, 6, 7], [9, 9, 8], [9, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 0]]


def test_penalties_divide_what_is_above_zero_multiply_what_is_below_and_bar_repetitions() -> None:
    scores, ids = np.array([[3.0, -2.0, 1.0, 0.5]], np.float32), np.array([[0, 1, 0]])
    found = penalized(scores, ids, np.ones_like(ids), Decoding(1, 2.0, 2))
    assert found.tolist() == [[1.5, -np.inf, 1.0, 0.5]]
    assert scores.tolist() == [[3.0, -2.0, 1.0, 0.5]]


def test_padding_is_penalized_by_nobody_but_is_a_run_as_others_are() -> None:
    scores, ids = np.array([[3.0, -2.0, 1.0, 0.5]], np.float32), np.array([[0, 0, 1, 0]])
    mask = np.array([[0, 0, 1, 1]])
    assert penalized(scores, ids[:, :3], mask[:, :3], Decoding(1, 2.0)).tolist() == [
        [3.0, -4.0, 1.0, 0.5]
    ]
    assert penalized(scores, ids, mask, Decoding(1, 1.0, 2)).tolist() == [
        [-np.inf, -np.inf, 1.0, 0.5]
    ]


@pytest.mark.parametrize(
    ("tokens", "size", "barred"),
    [
        ([1, 2, 3, 1, 2], 3, [3]),
        ([1, 2, 1, 3, 1], 2, [2, 3]),
        ([1, 2], 1, [1, 2]),
        ([1, 2], 3, []),
        ([1, 2], 4, []),
        ([], 2, []),
    ],
)
def test_what_would_repeat_a_run(tokens: list[int], size: int, barred: list[int]) -> None:
    assert repeating(tokens, size) == barred


def test_probabilities_are_those_of_pytorch() -> None:
    ids = PROMPTS[0]
    nll, best = read_text(CachedModel(TorchSession(MODEL)), ids)
    with torch.inference_mode():
        logits = MODEL(torch.from_numpy(ids[None])).logits[0, :-1]
    expected = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(ids[1:]), reduction="none"
    )
    np.testing.assert_allclose(nll, expected.numpy(), rtol=1e-6)
    assert best.tolist() == logits.argmax(1).tolist()
    assert (nll.dtype.name, best.dtype.name) == ("float32", "int32")


def test_large_logits_lose_no_digits_and_overflow_nothing() -> None:
    logits = np.array([[30000.0, 30001.0], [0.0, 0.0]], np.float32)
    nll, best = scored(logits, np.array([0, 0]))
    assert nll.tolist() == [np.float32(np.log(1 + np.e))]
    assert best.tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_a_clear_error(value: float) -> None:
    def broken(logits: Any) -> Any:
        logits[:, 2] = value
        return logits

    model = CachedModel(TorchSession(MODEL, changes={"logits": broken}))
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(StepError, match="logits are no numbers") as caught,
    ):
        read_text(model, PROMPTS[0])
    assert "1 of 6 tokens" in (caught.value.why or "")


@pytest.mark.parametrize(
    ("session", "what", "why"),
    [
        (lambda: TorchSession(MODEL, without=("logits",)), "no output 'logits'", "present.0.key"),
        (lambda: TorchSession(MODEL, without=("input_ids",)), "no input 'input_ids'", "mask"),
        (lambda: TorchSession(MODEL, without=("present.1.key",)), "'present.1.key'", "logits"),
        (
            lambda: TorchSession(
                MODEL,
                without=tuple(
                    f"past_key_values.{n}.{w}" for n in range(LAYERS) for w in ("key", "value")
                ),
            ),
            "has no cache",
            "past_key_values.0.key",
        ),
    ],
)
def test_a_graph_of_another_kind_is_a_clear_error(
    session: Callable[[], TorchSession], what: str, why: str
) -> None:
    with pytest.raises(StepError, match=what) as caught:
        CachedModel(session())
    assert why in (caught.value.why or "")


def test_a_cache_of_unknown_size_is_a_clear_error() -> None:
    model = CachedModel(TorchSession(MODEL, heads="heads"))
    with pytest.raises(StepError, match="nobody can make the first cache") as caught:
        read_text(model, PROMPTS[0])
    assert "'heads'" in (caught.value.why or "")


def test_logits_of_the_last_token_alone_are_a_clear_error() -> None:
    model = CachedModel(TorchSession(MODEL, changes={"logits": lambda value: value[:, -1:]}))
    with pytest.raises(StepError, match="another shape than its tokens") as caught:
        read_text(model, PROMPTS[0])
    assert "[1, 1, 61]; [1, 7]" in (caught.value.why or "")


class Searching:
    """A session that searches by itself: it repeats each prompt's last token."""

    def __init__(self, change: Callable[[Any], Any] = lambda found: found) -> None:
        self.change, self.fed = change, dict[str, Any]()

    def get_inputs(self) -> list[Any]:
        names = ("input_ids", "attention_mask", "max_new_tokens")
        return [type("Value", (), {"name": name}) for name in names]

    def get_outputs(self) -> list[Any]:
        return [type("Value", (), {"name": "sequences"})]

    def run(self, names: None, feeds: dict[str, Any]) -> list[Any]:
        self.fed = feeds
        more = np.repeat(feeds["input_ids"][:, -1:], feeds["max_new_tokens"][0], 1)
        return [self.change(np.concatenate([feeds["input_ids"], more], 1))]


def test_a_file_that_searches_by_itself_is_given_prompts_and_a_length() -> None:
    session = Searching()
    found = searched(session, PROMPTS, Decoding(3), Ends((int(PROMPTS[1][-1]),), 0))
    assert found == tuple((int(p[-1]),) * (1 if row == 1 else 3) for row, p in enumerate(PROMPTS))
    assert session.fed["max_new_tokens"].tolist() == [3]
    assert session.fed["attention_mask"].sum(1).tolist() == [7, 2, 5, 7]


@pytest.mark.parametrize(
    "change",
    [lambda found: found[:, 1:], lambda found: found[:2], lambda found: found[0]],
)
def test_sequences_without_their_prompts_are_a_clear_error(change: Callable[[Any], Any]) -> None:
    with pytest.raises(StepError, match="not the prompts with what follows"):
        searched(Searching(change), PROMPTS, Decoding(3), Ends((), 0))
