"""The process of one candidate that generates: JSON requests on stdin, answers on stdout.

It speaks the protocol of olive_build/steps/latency_child.py. A `text` of `decode` asks for a token
after another, each from the cache of those before, and `prefill` for the first one; `tokens` is
the length of the prompt. A call that is timed is one token.

    {"do": "setup", "threads": 1, "text": "decode", "tokens": 16}                   -> {}
    {"do": "time", "seconds": 0.1}                                -> {"milliseconds": 1.23}
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 3
# So many tokens follow a prompt before it is begun again: what a step costs grows with its cache.
NEW_TOKENS = 48
SEED = 0
Call = Callable[[], Any]
Ids = np.ndarray[Any, np.dtype[np.int64]]


def main() -> None:
    """Serve requests until stdin closes. The first line names the candidate."""
    # Libraries print to stdout; answers keep the original one.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    candidate = json.loads(sys.stdin.readline())
    load = {"onnxruntime": Graph, "pytorch": Eager}[candidate["kind"]]
    answers.write("{}\n")
    call: Call = time.perf_counter
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if request["do"] == "setup":
            call = time.perf_counter  # the last model is freed before the next is loaded
            call = prepared(load(Path(candidate["path"]), request["threads"]), request)
            for _ in range(WARM_UP):
                call()
        else:
            answer = {"milliseconds": median_time(call, request["seconds"])}
        answers.write(json.dumps(answer) + "\n")


def median_time(call: Call, seconds: float) -> float:
    """Return the median milliseconds of calls that are repeated for about `seconds`."""
    call()  # The first after another process ran finds cold caches.
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def prepared(model: Graph | Eager, request: dict[str, Any]) -> Call:
    """Return the call that is timed."""
    random = np.random.default_rng(SEED)
    prompt = random.integers(model.vocabulary, size=(1, request["tokens"]))
    if request["text"] == "prefill":
        return lambda: model.begin(prompt)
    steps = continuing(model, prompt)
    return lambda: next(steps)


def continuing(model: Graph | Eager, prompt: Ids) -> Iterator[int]:
    """Return the likeliest tokens after a prompt; after NEW_TOKENS the same again, for ever."""
    first, begun = model.begin(prompt)
    while True:
        token, state = first, begun
        for length in range(prompt.shape[1] + 1, prompt.shape[1] + NEW_TOKENS):
            token, state = model.go_on(token, length, state)
            yield token


class Graph:
    """A file, run by the project's own loop."""

    def __init__(self, path: Path, threads: int) -> None:
        from olive_build.clients.onnxruntime_client import open_session
        from olive_build.proof.generation import CachedModel

        session = open_session(path, threads=threads)
        self._model = CachedModel(session)
        self.vocabulary = next(v for v in session.get_outputs() if v.name == "logits").shape[-1]

    def begin(self, prompt: Ids) -> tuple[int, Any]:
        """Return the first token and the cache that the next one needs."""
        return self._step(prompt, prompt.shape[1], None)

    def go_on(self, token: int, length: int, state: Any) -> tuple[int, Any]:
        """Return the token after `length` others, of which `token` is the last."""
        return self._step(np.array([[token]]), length, state)

    def _step(self, ids: Ids, length: int, state: Any) -> tuple[int, Any]:
        logits, state = self._model.step(ids, np.ones((1, length), np.int64), state)
        return int(logits[0, -1].argmax()), state


class Eager:
    """PyTorch in eager mode with a cache, without what `generate` does between two steps.

    As in `generate`, a prompt's logits are computed for its last token alone.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self._torch = torch
        load = AutoModelForCausalLM.from_pretrained
        self._model = load(str(folder), dtype=torch.float32, local_files_only=True).eval()
        self.vocabulary = self._model.config.vocab_size

    def begin(self, prompt: Ids) -> tuple[int, Any]:
        """Return the first token and the keys and values of each layer."""
        return self._step(prompt, None)

    def go_on(self, token: int, length: int, state: Any) -> tuple[int, Any]:
        """Return the next token. A state is not changed by going on from it."""
        return self._step(np.array([[token]]), state)

    def _step(self, ids: Ids, state: Any) -> tuple[int, Any]:
        from transformers import DynamicCache

        with self._torch.inference_mode():
            cache = DynamicCache(state or [])
            given = self._torch.from_numpy(ids)
            output = self._model(given, past_key_values=cache, use_cache=True, logits_to_keep=1)
            token = int(output.logits[0, -1].argmax())
        return token, [(layer.keys, layer.values) for layer in cache.layers]


if __name__ == "__main__":
    main()
