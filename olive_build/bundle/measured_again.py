"""The quality of a bundle's files, measured by a process that is ended where a graph does not end.

`python -m olive_build.bundle.measured_again` is that process: it is asked by a line of JSON, says
`ready`, then `.` whenever a graph has answered, and for each file a line of JSON. A file that does
not answer in time is given up, and so is one that ends the process; the next ones are measured by
another process.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from olive_build import rooms
from olive_build.errors import BundleError, OliveBuildError, StepError
from olive_build.onnx_files.data_files import data_problem
from olive_build.processes import environment, follow_parent
from olive_build.record.codec import Damaged, decode
from olive_build.record.manifest import Graph, Manifest
from olive_build.record.proof import Quality

REFERENCE = "reference"
# How long the libraries take to load at most, where others keep the machine busy.
START_SECONDS = 300.0
# How long a graph takes at most for one input or batch: these, and more for each byte of its files.
ANSWER_SECONDS, SECONDS_PER_BYTE = 30.0, 1e-7
# How long a file takes at most for all of them.
FILE_SECONDS = 3600.0
READY, ANSWERED = "ready", "."


@dataclass(frozen=True)
class MeasuredAgain:
    """The quality of a file, or why there is none; `graphs` describe its .onnx files by role."""

    quality: Quality = field(default_factory=Quality)
    problem: str | None = None
    graphs: Mapping[str, Graph] = field(default_factory=dict)


def measure_again(
    folder: Path, manifest: Manifest, files: Sequence[Mapping[str, str]]
) -> Iterator[MeasuredAgain]:
    """Yield the quality of each of `files`, paths by role: a single file, or several run as one.

    Raises BundleError where the stored references cannot be read.
    """
    left = list(files)
    while left:
        with _Process(folder, manifest, left) as process:
            while left:
                found = process.next_file(_seconds(manifest, left[0]))
                left.pop(0)
                yield found
                if found.problem is not None and process.is_ended:
                    break


def _seconds(manifest: Manifest, files: Mapping[str, str]) -> float:
    size = sum(manifest.loaded_bytes(path) for path in files.values())
    return ANSWER_SECONDS + SECONDS_PER_BYTE * size


class _Process:
    """The process that measures, and what it says, line by line."""

    def __init__(
        self, folder: Path, manifest: Manifest, files: Sequence[Mapping[str, str]]
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "olive_build.bundle.measured_again"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            text=True,
        )
        self.is_ended = False
        self._lines: queue.Queue[str] = queue.Queue()
        assert self._process.stdin and self._process.stdout
        reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        reader.start()
        request = {
            "folder": str(folder.absolute()),
            "family": manifest.model.family,
            "options": dict(manifest.model.options),
            "files": [dict(item) for item in files],
            "rooms": [str(folder) for folder in rooms.extensions()],
        }
        self._ask(request)
        self._ready = False

    def _ask(self, request: Mapping[str, object]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.close()
        except OSError:
            pass  # it has ended; what is read of it says how

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def next_file(self, seconds: float) -> MeasuredAgain:
        """Return what is said of the next file, whose graph answers within so many seconds."""
        waited = 0.0
        while waited < FILE_SECONDS:
            patience = seconds if self._ready else START_SECONDS
            try:
                line = self._lines.get(timeout=patience)
            except queue.Empty:
                self._end()
                return MeasuredAgain(problem=f"it gives no answer within {patience:.0f} seconds")
            if not line:
                return self._ended()
            if line == READY:
                self._ready = True
            elif line != ANSWERED:
                return _told(json.loads(line))
        self._end()
        return MeasuredAgain(problem=f"it is not done after {FILE_SECONDS:.0f} seconds")

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._lines.put(line.strip())
        self._lines.put("")

    def _ended(self) -> MeasuredAgain:
        code = self._process.wait()
        self._end()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return MeasuredAgain(problem=f"the process that runs it {how}")

    def _end(self) -> None:
        self.is_ended = True
        self._process.kill()
        self._process.wait()


def _told(found: Mapping[str, Any]) -> MeasuredAgain:
    if error := found.get("refused"):
        raise BundleError(error["what"], where=error["where"], why=error["why"], hint=error["hint"])
    if problem := found.get("problem"):
        return MeasuredAgain(problem=problem)
    try:
        graphs = {role: decode(Graph, item) for role, item in found["graphs"].items()}
    except Damaged as error:
        return MeasuredAgain(problem=f"it tells of its graph what cannot be: {error}")
    return MeasuredAgain(decode(Quality, found["quality"]), graphs=graphs)


class _Watched:
    """A session that tells whenever it has answered."""

    def __init__(self, session: Any, tell: Callable[[], object]) -> None:
        self._session = session
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *given: Any, **named: Any) -> Any:
        answer = self._session.run(*given, **named)
        self._tell()
        return answer


def main() -> None:
    """Measure what is asked, and say it line by line."""
    follow_parent()
    # Libraries print to stdout; the answers keep the original one.
    with os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1) as out:
        os.dup2(2, 1)
        request = json.loads(sys.stdin.readline())
        for joined in request["rooms"]:
            rooms.extend(Path(joined))
        for found in _measured(request, lambda: out.write(f"{ANSWERED}\n")):
            out.write(f"{found if isinstance(found, str) else json.dumps(found)}\n")


def _measured(
    request: Mapping[str, Any], tell: Callable[[], object]
) -> Iterator[str | dict[str, Any]]:
    from olive_build.proof.quality import measure_quality
    from olive_build.proof.reference import read_reference
    from olive_build.steps.describe import describe

    folder = Path(request["folder"])
    try:
        reference = read_reference(folder / REFERENCE)
    except OliveBuildError as error:
        yield {"refused": error.as_json()}
        return
    yield READY
    for files in request["files"]:
        try:
            session = _opened(folder, files, request, reference)
            quality = measure_quality(_Watched(session, tell), reference)
            paths = {role: folder / path for role, path in files.items()}
            graphs = {role: describe(path) for role, path in paths.items() if not _is_ort(path)}
            yield {"quality": quality.as_json(), "graphs": graphs}
        except OliveBuildError as error:
            yield {"problem": f"{error.what}: {error.why}"}


def _opened(
    folder: Path, files: Mapping[str, str], request: Mapping[str, Any], reference: Any
) -> Any:
    """Return a session of a single file, or of several that run as one."""
    from olive_build.clients.onnxruntime_client import open_session
    from olive_build.families import family_module
    from olive_build.families.registry import FAMILIES

    paths = {role: folder / path for role, path in files.items()}
    for path in paths.values():
        _require_own_weights(path)
    if len(paths) == 1:
        # A kind may look into a file beside running it.
        return getattr(reference, "open", open_session)(next(iter(paths.values())))
    family = request["family"]
    parts = {name: folder / REFERENCE / f"{name}.onnx" for name in FAMILIES[family].parts}
    for path in parts.values():
        _require_own_weights(path)
    session = family_module(family, "session")
    return session.open_files(paths, folder, request["options"], parts)


def _require_own_weights(path: Path) -> None:
    """Raise StepError for a graph that has its weights elsewhere than in the bundle's files."""
    if problem := None if _is_ort(path) else data_problem(path):
        raise StepError(f"{path.name} is not opened", why=problem)


def _is_ort(path: Path) -> bool:
    """Whether onnxruntime reads a file as ORT format: it goes by the name."""
    return path.suffix == ".ort"


if __name__ == "__main__":
    main()
