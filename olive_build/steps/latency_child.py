"""The process of one timed candidate: reads JSON requests from stdin, answers on stdout."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WARM_UP = 5


def main() -> None:
    """Serve requests until stdin closes. The first names the candidate."""
    # Libraries print to stdout; answers keep the original one.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    candidate = json.loads(sys.stdin.readline())
    kinds = {"onnxruntime": _onnxruntime, "pytorch-text": _pytorch, "pytorch-tokens": _pytorch}
    prepare = kinds[candidate["kind"]](candidate)
    answers.write("{}\n")
    call: Callable[[], Any] = time.perf_counter
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "setup":
            call = prepare(request)
            for _ in range(WARM_UP):
                call()
            answers.write("{}\n")
        else:
            answers.write(json.dumps({"milliseconds": _time(call, request["seconds"])}) + "\n")


def _time(call: Callable[[], Any], seconds: float) -> float:
    """Return the median milliseconds of a call, repeated for about `seconds`."""
    call()  # The first after another process ran finds cold caches.
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def _onnxruntime(candidate: dict[str, str]) -> Callable[[dict[str, Any]], Callable[[], Any]]:
    import numpy as np

    from olive_build.clients.onnxruntime_client import open_session

    def prepare(request: dict[str, Any]) -> Callable[[], Any]:
        session = open_session(Path(candidate["path"]), threads=request["threads"])
        shape = (1, request["tokens"])
        feeds = {
            "text": np.array([request["text"]], dtype=object),
            "input_ids": np.ones(shape, np.int64),  # every vocabulary has it
            "attention_mask": np.ones(shape, np.int64),
            "token_type_ids": np.zeros(shape, np.int64),
        }
        wanted = {value.name: feeds[value.name] for value in session.get_inputs()}
        return lambda: session.run(None, wanted)

    return prepare


def _pytorch(candidate: dict[str, str]) -> Callable[[dict[str, Any]], Callable[[], Any]]:
    import torch

    from olive_build.families import family_module

    folder = Path(candidate["path"])
    side = family_module(candidate["family"], "torch_side")
    model = side.load(folder)
    runner = side.text_runner if candidate["kind"] == "pytorch-text" else side.token_runner

    def prepare(request: dict[str, Any]) -> Callable[[], Any]:
        torch.set_num_threads(request["threads"])
        if side.encode(folder, [request["text"]])[0].size != request["tokens"]:
            raise ValueError(f"the text has not {request['tokens']} tokens for this tokenizer")
        run: Callable[[], Any] = runner(folder, model, request["text"])
        return run

    return prepare


if __name__ == "__main__":
    main()
