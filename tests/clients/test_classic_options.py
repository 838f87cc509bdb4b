"""What becomes of the options that pages of text generation are known to pass to the client.

docs/text-generation.md says it of each; here it is seen, in Node and in Chromium.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from neo_bundle import ends, prompts

from olive_build.clients.client_packages import clients_folder, find_chromium
from olive_build.clients.javascript_client import ChromiumClient, Client, NodeClient, Request
from olive_build.errors import StepError
from olive_build.proof.generation import until_end

CLASSIC: dict[str, Any] = {
    "max_new_tokens": 200,
    "temperature": 2,
    "repetition_penalty": 1.5,
    "no_repeat_ngram_size": 2,
    "num_beams": 2,
    "num_return_sequences": 1,
}
USED = {name: CLASSIC[name] for name in CLASSIC if "_n" in name or "penalty" in name}
PROMPTS = 3

pytestmark = pytest.mark.skipif(
    clients_folder() is None, reason="transformers.js is not installed here; run `make clients`"
)
NODE = NodeClient()
CLIENTS = [
    pytest.param(NODE, id="node"),
    pytest.param(
        ChromiumClient(),
        id="chromium",
        marks=pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed here"),
    ),
]


@pytest.fixture(scope="session")
def pytorch(neo_bundle: Path) -> dict[int, list[tuple[int, ...]]]:
    """What PyTorch's generate writes after each prompt, by the number of beams."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)  # of so small a model, more only wait for each other
    folder = neo_bundle.parents[2] / "recipes" / "model"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    last = ends(neo_bundle)
    kept = {**CLASSIC, "do_sample": False, "pad_token_id": last.pad}
    del kept["temperature"]
    found: dict[int, list[tuple[int, ...]]] = {}
    for beams in (1, 2):
        found[beams] = []
        for prompt in prompts(neo_bundle)[:PROMPTS]:
            batch = tokenizer(prompt, return_tensors="pt")
            with torch.inference_mode():
                ids = model.generate(**batch, **{**kept, "num_beams": beams})[0].tolist()
            found[beams].append(until_end(ids[batch["input_ids"].shape[1] :], last))
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_the_classic_options_are_a_greedy_search_with_penalties(
    neo_bundle: Path, client: Client, pytorch: dict[int, list[tuple[int, ...]]]
) -> None:
    texts = prompts(neo_bundle)[:PROMPTS]
    requests = [Request((text,), options) for options in (CLASSIC, USED) for text in texts]
    requests.append(Request(texts[:1], {**CLASSIC, "eos_token_id": -1}))  # which no token has
    *results, endless = client.ask(neo_bundle, requests, dtype="fp32").results
    assert len(endless.tokens[0]) == CLASSIC["max_new_tokens"]
    written = [until_end(result.tokens[0], ends(neo_bundle)) for result in results]
    classic, used = written[:PROMPTS], written[PROMPTS:]
    # Temperature and beams change nothing, and what is left is what PyTorch does without beams.
    assert classic == used == pytorch[1]
    assert classic != pytorch[2]  # beams would have found other texts
    for prompt, tokens in zip(results, classic, strict=False):
        whole = [*prompt.prompt_tokens[0], *tokens]
        pairs = list(itertools.pairwise(whole))
        assert len(set(pairs)) == len(pairs)  # no pair of tokens occurs twice
    assert [len(result.texts) for result in results] == [1] * len(results)
    assert min(map(len, classic)) > 1


def test_temperature_counts_only_where_the_client_samples(neo_bundle: Path) -> None:
    text = prompts(neo_bundle)[:1]
    sampling = {"max_new_tokens": 30, "do_sample": True, "top_k": 0}
    requests = [Request(text, {**sampling, "temperature": heat}) for heat in (1e-4, 1e-4, 50, 50)]
    cold, again, hot, other = (
        result.tokens for result in NODE.ask(neo_bundle, requests, dtype="fp32").results
    )
    greedy = NODE.ask(neo_bundle, [Request(text, {"max_new_tokens": 30})], dtype="fp32")
    assert cold == again == greedy.results[0].tokens
    assert len({cold, hot, other}) == 3


def test_several_sequences_are_refused_without_beams_and_ignored_with_them(
    neo_bundle: Path,
) -> None:
    text = prompts(neo_bundle)[:1]
    several = {"max_new_tokens": 5, "num_return_sequences": 2}
    with pytest.raises(StepError) as caught:
        NODE.ask(neo_bundle, [Request(text, several)], dtype="fp32")
    assert "num_return_sequences has to be 1" in (caught.value.why or "")
    answer = NODE.ask(neo_bundle, [Request(text, {**several, "num_beams": 2})], dtype="fp32")
    assert len(answer.results[0].tokens) == len(answer.results[0].texts) == 1
