"""The process of one measured contestant: reads JSON requests from stdin, answers on stdout.

    {"do": "setup", "threads": 1, "text": "a text", "tokens": 16, "batch": 1}   -> {}
    {"do": "time", "seconds": 0.04, "samples": false}            -> {"milliseconds": 1.23}
    {"do": "load", "threads": 1}                                 -> {"milliseconds": 45.6}
    {"do": "memory"}                      -> {"peak_bytes": 1, "baseline_bytes": 1, "reset": true}

`samples` asks for every call's milliseconds beside their median. `batch` is 1 where it is left out.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.engine.memory import high_water, reset_high_water, resident
from olive_build.processes import follow_parent

WARM_UP, WARM_UP_SECONDS = 5, 0.5
SLOW_SECONDS = 0.25
Call = Callable[[], Any]


@dataclass(frozen=True)
class Runner:
    """How a contestant is loaded alone, and how it becomes a call that is timed."""

    load: Callable[[int], Any]
    prepare: Callable[[dict[str, Any]], Call]


def main() -> None:
    """Serve requests until stdin closes. The first names the contestant."""
    follow_parent()
    # Libraries print to stdout; answers keep the original one.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    contestant = json.loads(sys.stdin.readline())
    for folder in contestant["rooms"]:
        rooms.extend(Path(folder))
    is_file = contestant["kind"] == "onnxruntime"
    runner = _onnxruntime(contestant) if is_file else _pytorch(contestant)
    # What is used from here on is the model's; the libraries are imported.
    gc.collect()
    reset, baseline = reset_high_water(), resident()
    answers.write("{}\n")
    call: Call = time.perf_counter
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        match request["do"]:
            case "setup":
                call = time.perf_counter  # the last model is freed before the next is loaded
                call = runner.prepare(request)
                _warm_up(call)
            case "load":
                call = time.perf_counter
                answer = {"milliseconds": _load(runner, request["threads"])}
            case "memory":
                peak = high_water()
                answer = {"peak_bytes": peak, "baseline_bytes": baseline, "reset": reset}
            case "time":
                times = _time(call, request["seconds"])
                answer = {"milliseconds": statistics.median(times)}
                if request.get("samples"):
                    answer["samples"] = times
        answers.write(json.dumps(answer) + "\n")


def _load(runner: Runner, threads: int) -> float:
    """Return the milliseconds until the contestant is ready; it is freed again."""
    gc.collect()
    start = time.perf_counter()
    loaded = runner.load(threads)
    seconds = time.perf_counter() - start
    del loaded
    return seconds * 1e3


def _warm_up(call: Call) -> None:
    """Call it WARM_UP times, or once and until a slow one has taken WARM_UP_SECONDS."""
    end = time.perf_counter() + WARM_UP_SECONDS
    for _ in range(WARM_UP):
        call()
        if time.perf_counter() > end:
            break


def _time(call: Call, seconds: float) -> list[float]:
    """Return the milliseconds of each call, repeated for about `seconds`."""
    start = time.perf_counter()
    call()  # The first after another process ran finds cold caches, which a slow one does not feel.
    first = time.perf_counter() - start
    times: list[float] = [first * 1e3] if first > SLOW_SECONDS else []
    end = time.perf_counter() + seconds
    while not times or (time.perf_counter() < end and first <= SLOW_SECONDS):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def _onnxruntime(contestant: dict[str, Any]) -> Runner:
    import onnxruntime  # noqa: F401 - before memory is counted

    from olive_build.clients.onnxruntime_client import open_session

    sample = rooms.look_up(contestant["module"])

    def load(threads: int) -> Any:
        if "session" not in contestant:
            return open_session(Path(contestant["path"]), threads=threads)
        files, parts = (
            {name: Path(path) for name, path in contestant[key].items()}
            for key in ("files", "parts")
        )
        source, options = Path(contestant["source"]), contestant["options"]
        together = rooms.look_up(contestant["session"])
        return together.open_files(files, source, options, parts, threads)

    def prepare(request: dict[str, Any]) -> Call:
        session = load(request["threads"])
        batch = request.get("batch", 1)
        feeds = sample.feeds(session.get_inputs(), request["text"], request["tokens"], batch)
        return lambda: session.run(None, feeds)

    return Runner(load, prepare)


def _pytorch(contestant: dict[str, Any]) -> Runner:
    import torch

    folder = Path(contestant["path"])
    side = rooms.look_up(contestant["module"])
    takes = contestant["kind"].removeprefix("pytorch-")

    def load(threads: int) -> Any:
        torch.set_num_threads(threads)
        return side.load(folder)

    def prepare(request: dict[str, Any]) -> Call:
        model = load(request["threads"])
        asked = (request["text"], request["tokens"], request.get("batch", 1))
        run: Call = side.runner(folder, model, takes, *asked)
        return run

    return Runner(load, prepare)


if __name__ == "__main__":
    main()
