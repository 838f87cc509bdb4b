"""Every variant of a web bundle writes the same in Node, in Chromium and in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from neo_bundle import (
    DTYPES,
    NEW_TOKENS,
    PENALTIES,
    TIES,
    PythonClient,
    Written,
    asked,
    cases,
    differences,
    ends,
    prompts,
)

from olive_build.clients.client_packages import clients_folder, find_chromium
from olive_build.clients.javascript_client import ChromiumClient, Client, NodeClient, Request
from olive_build.errors import StepError

needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium is installed here; see `make clients`"
)
pytestmark = pytest.mark.skipif(
    clients_folder() is None,
    reason="transformers.js is not installed here; run `make clients`, which needs Node 20 and npm",
)
NODE, CHROMIUM = NodeClient(), ChromiumClient()
CLIENTS = [
    pytest.param(NODE, id="node"),
    pytest.param(CHROMIUM, id="chromium", marks=needs_chromium),
]


def written(client: Client, bundle: Path, dtype: str) -> list[tuple[tuple[int, ...], ...]]:
    """Return the tokens that a client writes in all cases."""
    return [result.tokens for result in asked(client, bundle, dtype)]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_client_writes_what_python_writes_with_the_same_file(
    neo_bundle: Path, client: Client, dtype: str
) -> None:
    python = PythonClient(neo_bundle, dtype)
    requests = cases(neo_bundle)
    expected = [python.write(request) for request in requests]
    assert differences(expected, written(client, neo_bundle, dtype), TIES[dtype]) == []
    tokens = [result.prompt_tokens for result in asked(client, neo_bundle, dtype)]
    assert tokens == [python.prompt_tokens(request) for request in requests]
    different = {text.tokens for texts in expected for text in texts}
    assert len(different) > len(requests) / 2  # they are texts, and not one text
    assert {len(text) for text in different} == {NEW_TOKENS}


@pytest.fixture(scope="session")
def pytorch(neo_bundle: Path) -> tuple[Any, Any]:
    """The model and its tokenizer, as transformers loads them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)  # of so small a model, more only wait for each other
    folder = neo_bundle.parents[2] / "recipes" / "model"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token_id = ends(neo_bundle).pad
    return model, tokenizer


def generated(pytorch: tuple[Any, Any], request: Request, bundle: Path) -> list[Written]:
    """Return what `generate` gives for a batch, with the margin of every choice.

    Its own penalty leaves padding out. The client's counts it, so for a batch with padding the
    penalty is passed as a processor, which knows nothing of padding.
    """
    import torch
    from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

    model, tokenizer = pytorch
    batch = tokenizer(list(request.prompts), return_tensors="pt", padding=True)
    options = dict(request.options)
    if not batch["attention_mask"].all() and "repetition_penalty" in options:
        penalty = RepetitionPenaltyLogitsProcessor(options.pop("repetition_penalty"))
        options["logits_processor"] = LogitsProcessorList([penalty])
    with torch.inference_mode():
        found = model.generate(
            **batch,
            **options,
            pad_token_id=ends(bundle).pad,
            output_scores=True,
            return_dict_in_generate=True,
        )
    start = batch["input_ids"].shape[1]
    best = torch.stack(found.scores).topk(2).values  # [steps, rows, 2]
    margins = (best[..., 0] - best[..., 1]).T.tolist()
    rows = zip(found.sequences[:, start:].tolist(), margins, strict=True)
    return [Written(tuple(tokens), tuple(margin)) for tokens, margin in rows]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_a_client_writes_what_pytorch_generates(
    neo_bundle: Path, pytorch: tuple[Any, Any], client: Client, dtype: str
) -> None:
    """Greedily and with penalties, alone and in batches with padding; fp16 but for ties."""
    requests = cases(neo_bundle)
    assert sum(len(request.prompts) == 1 for request in requests) >= 16
    expected = [generated(pytorch, request, neo_bundle) for request in requests]
    assert differences(expected, written(client, neo_bundle, dtype), TIES[dtype]) == []
    penalized = [request.options.items() >= PENALTIES.items() for request in requests]
    assert any(penalized) and not all(penalized)
    assert any(0 in mask for mask in _masks(pytorch, requests))  # some are padded


def _masks(pytorch: tuple[Any, Any], requests: list[Request]) -> list[list[int]]:
    _, tokenizer = pytorch
    return [
        row
        for request in requests
        for row in tokenizer(list(request.prompts), padding=True)["attention_mask"]
    ]


@pytest.mark.parametrize(
    ("client", "dtype"),
    [pytest.param(NODE, "fp32", id="node"), pytest.param(CHROMIUM, "q8", marks=needs_chromium)],
)
def test_without_a_dtype_a_client_takes_its_own(
    neo_bundle: Path, client: Client, dtype: str
) -> None:
    request = Request(prompts(neo_bundle)[:1], {"max_new_tokens": 2})
    assert client.ask(neo_bundle, [request]).dtype == dtype


@needs_chromium
def test_the_browser_is_isolated_and_what_it_downloads_is_counted(neo_bundle: Path) -> None:
    request = Request(prompts(neo_bundle)[:1], {"max_new_tokens": 4})
    answer = CHROMIUM.ask(neo_bundle, [request], dtype="q8", threads=2)
    assert (answer.isolated, answer.threads, answer.device) == (True, 2, "wasm")
    model = "onnx/model_quantized.onnx"
    assert answer.downloaded[model] == (neo_bundle / model).stat().st_size
    models = [name for name in answer.downloaded if name.endswith(".onnx")]
    runtimes = [name for name in answer.downloaded if name.endswith(".wasm")]
    # Of several builds the plain one is the smallest, and the fastest without a GPU.
    assert (models, runtimes) == ([model], ["runtime/ort-wasm-simd-threaded.wasm"])
    assert answer.load_ms > 0


def test_every_step_is_timed(neo_bundle: Path) -> None:
    for result in asked(NODE, neo_bundle, "fp32"):
        steps = len(result.tokens[0])
        assert result.prefill_ms > 0
        assert len(result.decode_ms) == steps - 1
        assert min(result.decode_ms) > 0


def test_a_text_that_has_ended_goes_on_until_its_whole_batch_has(neo_bundle: Path) -> None:
    """So what follows a row's end is to be cut off by the application."""
    batch = prompts(neo_bundle)[:2]
    options = {"max_new_tokens": NEW_TOKENS, "do_sample": False}
    whole = NODE.ask(neo_bundle, [Request(batch, options)], dtype="fp32").results[0].tokens
    step = next(i for i, token in enumerate(whole[0]) if token not in whole[1])
    stop = {**options, "eos_token_id": whole[0][step]}
    requests = [Request(batch, stop), Request(batch[:1], stop)]
    together, alone = NODE.ask(neo_bundle, requests, dtype="fp32").results
    assert together.tokens == whole
    assert alone.tokens[0] == whole[0][: step + 1]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("dtype", "reason"), [("q9", "q9"), ("bnb4", "onnx/model_bnb4.onnx")], ids=str
)
def test_what_a_client_cannot_load_is_named(
    neo_bundle: Path, client: Client, dtype: str, reason: str
) -> None:
    with pytest.raises(StepError) as caught:
        client.ask(neo_bundle, [Request(("One",), {"max_new_tokens": 1})], dtype=dtype)
    assert reason in (caught.value.why or "")
    assert str(neo_bundle) == caught.value.where


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt_neo"}))
    with pytest.raises(StepError, match="node cannot run the bundle"):
        NODE.ask(tmp_path, [Request(("One",))], dtype="fp32")
