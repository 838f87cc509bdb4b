"""The exported graph in fp32 against transformers' generate, token for token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from causal_lm_miniatures import Exported, configurations, exported, generate, prompts

from olive_build.clients.onnxruntime_client import open_session
from olive_build.proof.generation import Decoding, Ends, continued, until_end

ARCHITECTURES = sorted(configurations())
NEW = 40
PENALTIES = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads of so small a model wait for each other, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def both(model: Exported, rows: list[Any], **settings: Any) -> tuple[Any, Any]:
    """What the graph writes after prompts in one batch, and what PyTorch does, up to the end."""
    facts = model.facts
    ends = Ends(facts.eos, facts.eos[0] if facts.pad is None else facts.pad)
    ours = continued(model.session, rows, Decoding(NEW, **settings), ends)
    theirs = generate(model.folder, rows, max_new_tokens=NEW, **settings)
    return ours, tuple(until_end(row, ends) for row in theirs)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("settings", [{}, PENALTIES], ids=["greedy", "penalties"])
def test_tokens_are_those_of_generate(name: str, settings: dict[str, Any]) -> None:
    written = set()
    for prompt in prompts(8, 8):
        ours, theirs = both(exported(name), [prompt], **settings)
        assert ours == theirs
        written.update(ours[0])
    assert len(written) > 20, "a model that writes the same token always would prove nothing"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_batches_padded_on_the_left_are_those_of_generate(name: str) -> None:
    rows = [row[: 3 + index] for index, row in enumerate(prompts(6, 12))]
    model = exported(name)
    ours, theirs = both(model, rows)
    assert ours == theirs
    assert ours == tuple(both(model, [row])[0][0] for row in rows), "padding changes nothing"
    ours, theirs = both(model, rows, no_repeat_ngram_size=2)
    assert ours == theirs


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_graph_has_the_ends_that_clients_ask_for(name: str) -> None:
    model = exported(name)
    session, facts = open_session(model.graph), model.facts
    (heads, size), *_ = facts.known.caches
    assert tuple(value.name for value in session.get_inputs()) == facts.inputs
    shapes = {v.name: list(v.shape) for v in (*session.get_inputs(), *session.get_outputs())}
    cache = ["batch_size", heads, "past_sequence_length", size]
    assert shapes["input_ids"] == shapes["position_ids"] == ["batch_size", "sequence_length"]
    assert shapes["attention_mask"] == ["batch_size", "total_sequence_length"]
    assert shapes["past_key_values.1.value"] == cache
    assert shapes["present.1.value"] == [*cache[:2], "total_sequence_length", cache[3]]
    assert shapes["logits"] == ["batch_size", "sequence_length", facts.known.vocabulary]


def test_a_prompt_in_pieces_gives_the_same_logits() -> None:
    model = exported("gpt_neo")
    graph = model.session
    ids = prompts(1, 20)[0][None]
    whole, _ = graph.step(ids, np.ones_like(ids), None)
    first, past = graph.step(ids[:, :13], np.ones((1, 13), np.int64), None)
    second, _ = graph.step(ids[:, 13:], np.ones((1, 20), np.int64), past)
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole, atol=2e-5)
