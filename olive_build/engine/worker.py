"""The process in which steps run: `python -m olive_build.engine.worker KIND FOLDER...`.

The folders have rooms with steps of a program's own (`rooms.extend`).

One JSON line per request comes in on what was standard input, one reply goes out on what was
standard output, after lines of what the step tells meanwhile. Both are moved away before a step
runs: everything that a library prints, native code included, goes to the step's log. The process
ends when its parent does.

The worker imports what its kind needs once and then forks for each step (on Linux): a step starts
from the same small memory whatever ran before it, and the peak that is reported is its own.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from olive_build import rooms
from olive_build.engine.fingerprint import from_fields
from olive_build.engine.machine import this_machine
from olive_build.engine.memory import high_water, max_rss, reset_high_water
from olive_build.engine.registry import step_class, worker_kind
from olive_build.engine.telling import listen
from olive_build.errors import OliveBuildError
from olive_build.processes import die_with_parent

ENVIRONMENT: Mapping[str, str] = {
    "CI": "1",  # Olive and others read it as "do not report"
    "ORT_DISABLE_TELEMETRY": "1",
    "OLIVE_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",  # a step never downloads
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
}

_OURS = f"{rooms.PACKAGE}."
# Elsewhere a fork of a process with native threads is not safe, or does not exist.
FORKS = sys.platform == "linux"


def main() -> None:
    """Serve requests until the parent is gone."""
    os.environ.update(ENVIRONMENT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    faulthandler.enable()
    # From now on the end of the parent is seen, and takes along whatever a step has started. To be
    # killed with the parent instead would leave that behind.
    lines = _lines(requests)
    for folder in sys.argv[2:]:
        rooms.extend(Path(folder))
    _preload(sys.argv[1])
    for line in lines:
        request = json.loads(line)
        if FORKS:
            _serve_forked(request, replies)
        else:
            _answer(request, replies)


def _preload(kind: str) -> None:
    for name in worker_kind(kind).preload:
        with suppress(Exception):  # the step that needs it says so better
            import_module(name)
    # What is imported never becomes garbage; unlooked at, its pages stay shared with the forks.
    gc.collect()
    gc.freeze()


def _answer(request: dict[str, Any], replies: BinaryIO) -> None:
    def reply(answer: dict[str, Any]) -> None:
        replies.write(json.dumps(answer).encode() + b"\n")

    listen(lambda text: reply({"told": text}))
    reply(_serve(request))


def _serve_forked(request: dict[str, Any], replies: BinaryIO) -> None:
    """Run the step in a fork; if that dies, die as it did, which the parent reads."""
    child = os.fork()
    if child == 0:
        die_with_parent()
        _answer(request, replies)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    elif code:
        os._exit(code)


def _lines(stream: BinaryIO) -> Any:
    """Yield lines; end the process at the end of the stream, even in the middle of a step."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            lines.put(line)
        if os.name == "posix":
            os.killpg(0, signal.SIGKILL)  # with whatever the step has started
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    return iter(lines.get, None)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    _redirect(request["log"])
    before = set(sys.modules)
    try:
        step = from_fields(step_class(request["kind"]), request["fields"])
        inputs = {name: Path(path) for name, path in request["inputs"].items()}
        os.chdir(os.environ["TMPDIR"])  # a step may have gone elsewhere
        seconds, peak = _measure(lambda: step.run(inputs, Path(request["out"])))
        machine = this_machine().fingerprint if step.measures else None
        # Of the preloaded ones the others follow: what a step needs it imports itself.
        ran = [name for name in sys.modules if name not in before and name.startswith(_OURS)]
        return {"seconds": seconds, "peak_bytes": peak, "machine": machine, "modules": ran}
    except OliveBuildError as error:
        traceback.print_exc()
        return {"error": error.as_json()}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a step may raise anything
        traceback.print_exc()
        return {"raised": traceback.format_exception_only(error)[-1].strip()}
    finally:
        _tidy()


def _redirect(log: str) -> None:
    """Send standard output and error to the step's log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


def _measure(work: Any) -> tuple[float, int | None]:
    """Return seconds and peak resident memory in bytes of the work.

    On Linux the kernel's counter is reset first, so it is the step's own; a subprocess counts if it
    was larger. Elsewhere it is the most that this worker ever used, which earlier steps may have
    caused.
    """
    reset = reset_high_water()
    children = max_rss(children=True)
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    own = high_water() if reset else max_rss(children=False)
    grown = max_rss(children=True)
    return seconds, max(own or 0, grown or 0) if grown != children else own


def _tidy() -> None:
    """Give memory back, so that the next step starts small, and empty native print buffers."""
    gc.collect()
    sys.stdout.flush()
    if os.name == "posix":
        libc = ctypes.CDLL(None)
        libc.fflush(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


if __name__ == "__main__":
    main()
