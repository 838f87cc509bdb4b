"""The process of one candidate that trains: JSON requests on stdin, answers on stdout.

It speaks the protocol of olive_build/steps/latency_child.py; a call that is timed is one step. The
first line names the candidate: `kind` (onnxruntime: `path` are artifacts; pytorch: `path` is the
model's folder, of `family`), `batch` (.npz with labels and the inputs), their `order`, and `train`.

    {"do": "setup", "threads": 1, ...}      -> {}
    {"do": "time", "seconds": 0.1}          -> {"milliseconds": 1.23}
    {"do": "memory"}                        -> {"peak_bytes": 1}

Run by the environment of the candidate, which imports this project alone from its folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent / "olive_build"
WARM_UP = 3
Call = Callable[[], Any]


def main() -> None:
    """Serve requests until stdin closes."""
    # Libraries print to stdout; answers keep the original one.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    _find_package()
    from olive_build.engine.memory import high_water

    candidate = json.loads(sys.stdin.readline())
    prepare = {"onnxruntime": _artifacts, "pytorch": _eager}[candidate["kind"]]
    answers.write("{}\n")
    call: Call = time.perf_counter
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        match request["do"]:
            case "setup":
                call = time.perf_counter  # the last model is freed before the next is loaded
                call = prepare(candidate, request["threads"])
                for _ in range(WARM_UP):
                    call()
            case "time":
                answer = {"milliseconds": _median_time(call, request["seconds"])}
            case "memory":
                answer = {"peak_bytes": high_water()}
        answers.write(json.dumps(answer) + "\n")


def _find_package() -> None:
    """Make this project importable, and nothing that lies beside it."""
    found = importlib.util.spec_from_file_location(
        "olive_build", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules["olive_build"] = module
    found.loader.exec_module(module)


def _median_time(call: Call, seconds: float) -> float:
    call()  # The first after another process ran finds cold caches.
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def _batch(candidate: dict[str, Any]) -> tuple[list[Any], Any]:
    import numpy as np

    with np.load(candidate["batch"], allow_pickle=False) as file:
        return [file[f"input.{name}"] for name in candidate["order"]], file["labels"]


def _artifacts(candidate: dict[str, Any], threads: int) -> Call:
    from olive_build.training.session import TrainingSession

    inputs, labels = _batch(candidate)
    session = TrainingSession(Path(candidate["path"]), threads=threads)
    return lambda: session.step(inputs, labels)


def _eager(candidate: dict[str, Any], threads: int) -> Call:
    import torch

    from olive_build.engine.fingerprint import from_fields
    from olive_build.training.settings import Train
    from olive_build.training.torch_loss import loss_function
    from olive_build.training.torch_model import build
    from olive_build.training.torch_steps import torch_optimizer

    torch.set_num_threads(threads)
    train = from_fields(Train, candidate["train"])
    inputs, labels = _batch(candidate)
    given, wanted = [torch.from_numpy(value) for value in inputs], torch.from_numpy(labels)
    side = build(Path(candidate["path"]), candidate["training"], train)
    loss_of = loss_function(train.loss, side.outputs)
    optimizer = torch_optimizer(train.optimizer, list(side.parameters().values()))

    def step() -> None:
        optimizer.zero_grad()
        loss_of(side.forward(side.model, *given), wanted).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
