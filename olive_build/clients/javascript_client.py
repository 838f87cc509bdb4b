"""transformers.js in Node and in headless Chromium: the clients of web bundles.

Both are asked and answer alike (`requests.mjs`). Needs what `make clients` installs and, for
Chromium, the system's browser.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from olive_build.clients.client_packages import (
    PLAIN_RUNTIME,
    PROGRAMS,
    WEBGPU_RUNTIME,
    require_chromium,
    require_clients,
    runtime_files,
)
from olive_build.clients.web_server import serving
from olive_build.errors import StepError
from olive_build.processes import environment

TEXT_GENERATION = "text-generation"
# A browser that is told to end removes its profile; so long it may take.
GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Request:
    """A call of the pipeline: `prompts` are one batch, `options` the pipeline's own.

    `audio` has the samples of a clip, for speech recognition, instead of prompts.
    """

    prompts: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    audio: tuple[float, ...] = ()

    def as_json(self) -> dict[str, Any]:
        content = {"audio": self.audio} if self.audio else {"prompts": self.prompts}
        return {**content, "options": dict(self.options)}


@dataclass(frozen=True)
class Result:
    """What one request gave; what its task does not give is empty.

    Of text generation: `prompt_tokens` and `tokens` (those generated, what a finished row went on
    with included) for each prompt, `prefill_ms` to the first token and `decode_ms` for each further
    one.
    """

    texts: tuple[str, ...] = ()
    prompt_tokens: tuple[tuple[int, ...], ...] = ()
    tokens: tuple[tuple[int, ...], ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    prefill_ms: float = 0.0
    decode_ms: tuple[float, ...] = ()
    run_ms: float = 0.0

    @staticmethod
    def read(found: Mapping[str, Any]) -> Result:
        """Return a result of the protocol's JSON."""
        return Result(
            texts=tuple(found.get("texts", ())),
            prompt_tokens=tuple(map(tuple, found.get("prompt_tokens", ()))),
            tokens=tuple(map(tuple, found.get("tokens", ()))),
            vectors=tuple(map(tuple, found.get("vectors", ()))),
            prefill_ms=found.get("prefill_ms", 0.0),
            decode_ms=tuple(found.get("decode_ms", ())),
            run_ms=found.get("run_ms", 0.0),
        )


@dataclass(frozen=True)
class Answer:
    """The results of a client, in the order of the requests, and what loading took.

    `downloaded` has the bytes that a browser fetched of each file, by its path in the bundle or
    runtime/; Node reads from the disk, and has none. `threads` and `isolated` are a browser's.
    """

    dtype: str
    device: str
    load_ms: float
    results: tuple[Result, ...]
    downloaded: Mapping[str, int] = field(default_factory=dict)
    threads: int | None = None
    isolated: bool | None = None


class Client(Protocol):
    """Runs a web bundle as its applications do."""

    name: str

    def ask(
        self,
        bundle: Path,
        requests: Sequence[Request],
        *,
        dtype: str | None = None,
        task: str = TEXT_GENERATION,
        threads: int | None = None,
        timeout: float = 600,
    ) -> Answer:
        """Load the bundle, with the client's default `dtype` or another, and answer the requests.

        Raises StepError, with the client's reason, when it cannot.
        """


@dataclass(frozen=True)
class NodeClient:
    """transformers.js in Node, on the CPU."""

    name: str = "node"

    def ask(
        self,
        bundle: Path,
        requests: Sequence[Request],
        *,
        dtype: str | None = None,
        task: str = TEXT_GENERATION,
        threads: int | None = None,
        timeout: float = 600,
    ) -> Answer:
        question = _question(requests, dtype=dtype, task=task, threads=threads)
        question |= {"model": str(bundle.resolve()), "device": "cpu"}
        program = require_clients() / "generate.mjs"
        return _answer(run_program([str(program)], question, self.name, bundle, timeout))


@dataclass(frozen=True)
class ChromiumClient:
    """transformers.js in headless Chromium: on WebAssembly, or on WebGPU by SwiftShader.

    The page comes from a server of ours with the headers of isolation, so it has threads.
    SwiftShader is a GPU in software: it says whether results are right, and nothing of speed.
    """

    device: Literal["wasm", "webgpu"] = "wasm"

    @property
    def name(self) -> str:
        return f"chromium-{self.device}"

    def ask(
        self,
        bundle: Path,
        requests: Sequence[Request],
        *,
        dtype: str | None = None,
        task: str = TEXT_GENERATION,
        threads: int | None = None,
        timeout: float = 600,
    ) -> Answer:
        question = _question(requests, dtype=dtype, task=task, threads=threads)
        question |= {"device": self.device}
        program = require_clients() / "drive.mjs"
        browser = require_chromium()
        runtime = runtime_files(PLAIN_RUNTIME | WEBGPU_RUNTIME)
        mounts = {
            "/client/": PROGRAMS / "browser",
            "/client/requests.mjs": PROGRAMS / "requests.mjs",
            "/bundle/": bundle,
            **{f"/runtime/{name}": path for name, path in runtime.items()},
        }
        with serving(mounts) as server:
            command = [str(program), browser, f"{server.url}/client/page.html"]
            found = run_program(command, question, self.name, bundle, timeout)
            sent = {
                path.removeprefix("/bundle/").removeprefix("/"): size
                for path, size in sorted(server.sent.items())
                if not path.startswith("/client/")
            }
        return _answer(found, sent)


def _question(requests: Sequence[Request], **settings: Any) -> dict[str, Any]:
    return {**settings, "requests": [request.as_json() for request in requests]}


def run_program(
    command: list[str], question: dict[str, Any], client: str, bundle: Path, timeout: float
) -> dict[str, Any]:
    """Run a program with the question on its input. Raises StepError with what it says."""
    try:
        done = _finished(["node", "--preserve-symlinks-main", *command], question, timeout)
    except FileNotFoundError as error:
        raise StepError(
            "Node was not found", why="no program `node` is on the PATH", hint="install Node 20"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise StepError(
            f"{client} did not answer in {timeout:g} seconds",
            where=str(bundle),
            hint="ask for fewer tokens, or give it more time",
        ) from error
    if done.returncode:
        lines = [line for line in done.stderr.split("\n") if line.startswith("error: ")]
        raise StepError(
            f"{client} cannot run the bundle",
            where=str(bundle),
            why=lines[-1].removeprefix("error: ") if lines else done.stderr.strip()[-2000:],
            hint="`olive-build verify` says whether the bundle's files are all there and whole",
        )
    # JSON has no line's end within a text; what else splitlines would split at, it may have.
    last = done.stdout.rstrip("\n").rpartition("\n")[2]
    try:
        found: dict[str, Any] = json.loads(last)
    except ValueError as error:
        raise StepError(
            f"{client} gave no answer that can be read",
            where=str(bundle),
            why=f"{error}, in {last[:200]!r}",
            hint="run `make clients` again; it needs Node 20 and npm",
        ) from error
    return found


def _finished(
    command: list[str], question: dict[str, Any], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with the question on its input; leave nothing of it behind."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(),
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(json.dumps(question), timeout)
        except BaseException:  # Ctrl-C too, of which a session of its own hears nothing
            _end(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    """End a program: tell it to, so that it can tidy up, and after a while kill its session."""
    process.terminate()
    try:
        process.communicate(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _answer(found: dict[str, Any], downloaded: Mapping[str, int] | None = None) -> Answer:
    return Answer(
        dtype=found["dtype"],
        device=found["device"],
        load_ms=found["load_ms"],
        results=tuple(Result.read(result) for result in found["results"]),
        downloaded=downloaded or {},
        threads=found.get("threads"),
        isolated=found.get("isolated"),
    )
