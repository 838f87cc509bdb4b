"""The process of one measured candidate: JSON requests on stdin, answers on stdout.

Runs in the environment of the tool that made the model, so it needs numpy, tokenizers and that
tool's runtime, nothing else. Every candidate does the same work: texts in, vectors out. A model
that takes token ids gets the `tokenizers` library before it and the pooling after it, in numpy.

    {"do": "embed", "threads": 1, "batches": [["a text"]], "out": "vectors.npy"}    -> {}
    {"do": "setup", "threads": 1, "text": "a text", "tokens": 16, "batch": 1}       -> {}
    {"do": "time", "seconds": 0.1, "samples": false}               -> {"milliseconds": 1.23}
    {"do": "load", "threads": 1}                                   -> {"milliseconds": 45.6}
    {"do": "memory"}                      -> {"peak_bytes": 1, "baseline_bytes": 1, "reset": true}

All but `embed` are what olive_build/steps/latency_child.py answers; `batch` is 1 and `samples`
false where they are left out.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# The project's own pooling and counting, which need numpy alone: the same for every candidate.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from olive_build.engine.memory import high_water, reset_high_water, resident
from olive_build.proof.embedding import pool

WARM_UP = 5
LIBRARIES = {
    "onnx-text": ("onnxruntime", "onnxruntime_extensions"),
    "onnx": ("onnxruntime", "tokenizers"),
    "openvino": ("openvino", "tokenizers"),
    "pytorch": ("torch", "transformers", "tokenizers"),
}
Floats = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Floats]
Call = Callable[[], Any]
Encoder = Callable[[dict[str, npt.NDArray[np.int64]]], Floats]


def main() -> None:
    """Serve requests until stdin closes. The first line names the candidate."""
    # Libraries print to stdout; answers keep the original one.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    candidate = json.loads(sys.stdin.readline())
    for library in LIBRARIES[candidate["kind"]]:
        importlib.import_module(library)
    # What is used from here on is the model's.
    gc.collect()
    reset, baseline = reset_high_water(), resident()
    answers.write("{}\n")
    call: Call = time.perf_counter
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        match request["do"]:
            case "embed":
                embed = open_candidate(candidate, request["threads"])
                np.save(request["out"], np.concatenate([embed(b) for b in request["batches"]]))
            case "setup":
                call = time.perf_counter  # the last model is freed before the next is loaded
                call = prepared(candidate, request)
            case "load":
                call = time.perf_counter
                answer = {"milliseconds": loading(candidate, request["threads"])}
            case "memory":
                peak = high_water()
                answer = {"peak_bytes": peak, "baseline_bytes": baseline, "reset": reset}
            case "time":
                times = timed(call, request["seconds"])
                answer = {"milliseconds": statistics.median(times)}
                if request.get("samples"):
                    answer["samples"] = times
        answers.write(json.dumps(answer) + "\n")


def prepared(candidate: dict[str, Any], request: dict[str, Any]) -> Call:
    """Return the call that is timed, warm: it embeds the text, as often as the batch says."""
    check_length(candidate, request["text"], request["tokens"])
    embed = open_candidate(candidate, request["threads"])
    texts = [request["text"]] * request.get("batch", 1)
    for _ in range(WARM_UP):
        embed(texts)
    return lambda: embed(texts)


def loading(candidate: dict[str, Any], threads: int) -> float:
    """Return the milliseconds until the candidate is ready; it is freed again."""
    gc.collect()
    start = time.perf_counter()
    embed = open_candidate(candidate, threads)
    seconds = time.perf_counter() - start
    del embed
    return seconds * 1e3


def timed(call: Call, seconds: float) -> list[float]:
    """Return the milliseconds of each call, repeated for about `seconds`."""
    call()  # The first after another process ran finds cold caches.
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def open_candidate(candidate: dict[str, Any], threads: int) -> Embed:
    """Load the model for that many threads; return what embeds texts: [texts, dimensions]."""
    if candidate["kind"] == "onnx-text":
        session = onnx_session(candidate["model"], threads, with_extensions=True)
        return lambda texts: np.asarray(session.run(None, {"text": np.array(texts, object)})[0])
    openers = {"onnx": open_onnx, "openvino": open_openvino, "pytorch": open_pytorch}
    return with_tokens(candidate, openers[candidate["kind"]](candidate, threads))


def open_tokenizer(candidate: dict[str, Any]) -> Any:
    """Return the model's tokenizer: cut at the model's length, padded to the batch's longest."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(candidate["tokenizer"])
    tokenizer.enable_truncation(candidate["max_length"])
    tokenizer.enable_padding(pad_id=0)  # the file's own may pad to a fixed length
    return tokenizer


def check_length(candidate: dict[str, Any], text: str, tokens: int) -> None:
    """Raise ValueError where the text has another number of tokens than it is timed for."""
    if candidate["kind"] == "onnx-text":
        return  # ids stay inside the graph
    found = len(open_tokenizer(candidate).encode(text).ids)
    if found != tokens:
        raise ValueError(f"the text has {found} tokens for this tokenizer, not {tokens}")


def with_tokens(candidate: dict[str, Any], run: Encoder) -> Embed:
    """Put the tokenizer before a model and the pooling after it."""
    tokenizer = open_tokenizer(candidate)

    def embed(texts: Sequence[str]) -> Floats:
        encoded = tokenizer.encode_batch(list(texts))
        ids = np.array([item.ids for item in encoded], np.int64)
        mask = np.array([item.attention_mask for item in encoded], np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return pool(run(feeds), mask, candidate["pooling"], candidate["normalize"])

    return embed


def onnx_session(path: str, threads: int, *, with_extensions: bool = False) -> Any:
    """Return an onnxruntime session with the settings that all ONNX candidates share."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if with_extensions:
        from onnxruntime_extensions import get_library_path

        options.register_custom_ops_library(get_library_path())
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def open_onnx(candidate: dict[str, Any], threads: int) -> Encoder:
    """Return what runs an ONNX file on token ids; its first output is the hidden state."""
    session = onnx_session(candidate["model"], threads)
    names = [value.name for value in session.get_inputs()]
    output = [session.get_outputs()[0].name]
    return lambda feeds: session.run(output, {name: feeds[name] for name in names})[0]


def open_openvino(candidate: dict[str, Any], threads: int) -> Encoder:
    """Return what runs an OpenVINO model on token ids, tuned for the latency of one request."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(candidate["model"], "CPU", settings)
    request = compiled.create_infer_request()
    names = [value.get_any_name() for value in compiled.inputs]

    def run(feeds: dict[str, npt.NDArray[np.int64]]) -> Floats:
        request.infer({name: feeds[name] for name in names}, share_inputs=True)
        hidden: Floats = request.get_output_tensor(0).data
        return hidden

    return run


def open_pytorch(candidate: dict[str, Any], threads: int) -> Encoder:
    """Return what runs the model in PyTorch, not compiled, with the attention that is named."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    model = transformers.AutoModel.from_pretrained(
        candidate["model"], attn_implementation=candidate["attention"], dtype=torch.float32
    ).eval()

    def run(feeds: dict[str, npt.NDArray[np.int64]]) -> Floats:
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(value) for name, value in feeds.items()}
            hidden: Floats = model(**tensors).last_hidden_state.numpy()
        return hidden

    return run


if __name__ == "__main__":
    main()
