"""The figures of text generation: both sides of a ratio do the same work, over the same tokens."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from olive_build.proof.contestant import Process

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "families")]
import bench_text_generation as benchmark  # noqa: E402
import generation_child as child  # noqa: E402
from causal_lm_miniatures import exported, generate  # noqa: E402

TOKENS = 12


def peers() -> dict[str, Path]:
    model = exported("gpt_neo")
    return {"onnxruntime": model.graph, "pytorch": model.folder}


def prompt() -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng(child.SEED).integers(
        exported("gpt_neo").facts.known.vocabulary, size=(1, TOKENS)
    )


@pytest.mark.parametrize(("kind", "load"), [("onnxruntime", child.Graph), ("pytorch", child.Eager)])
def test_each_side_writes_what_generate_does_and_begins_again(
    kind: str, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "NEW_TOKENS", 20)
    before = torch.get_num_threads()
    try:
        found = list(itertools.islice(child.continuing(load(peers()[kind], 1), prompt()), 38))
    finally:
        torch.set_num_threads(before)
    expected = generate(exported("gpt_neo").folder, [prompt()[0]], max_new_tokens=20)[0]
    # The first token is the prompt's own step, which is no part of decoding.
    assert found == 2 * list(expected)[1:20]
    assert len(set(found)) > 5


@pytest.mark.parametrize("what", ["decode", "prefill"])
@pytest.mark.parametrize("kind", ["onnxruntime", "pytorch"])
def test_a_process_answers_with_the_time_of_a_token(kind: str, what: str) -> None:
    process = Process(benchmark.Peer(kind, kind, peers()[kind]), benchmark.CHILD)
    try:
        assert process.ask({"do": "setup", "threads": 1, "text": what, "tokens": TOKENS}) == {}
        assert process.milliseconds({"do": "time", "seconds": 0.01}) > 0
    finally:
        process.close()


def test_the_seeded_model_has_the_shape_of_gpt_neo_125m_and_a_name_for_every_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "SHAPE", {**benchmark.SHAPE, "hidden_size": 24})
    recipe = benchmark.seeded_recipe(tmp_path)
    assert recipe.read_text(encoding="utf-8").startswith("recipe: 1\nname: gpt-neo-125m-seeded\n")
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert (config["vocab_size"], config["num_layers"], config["num_heads"]) == (50_257, 12, 12)
    tokenizer = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 50_257
    assert tokenizer.decode([50_256]) == " word50256"
    text = benchmark.prompt_of(tmp_path / "model", benchmark.PROMPT_TOKENS)
    assert len(tokenizer.encode(text).ids) == benchmark.PROMPT_TOKENS
