"""Steps that take milliseconds; each does one thing that an engine must survive."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.engine.telling import tell
from olive_build.errors import ProofError


def _worker() -> int:
    """The process that stays warm: on Linux a step runs in a fork of it."""
    return os.getppid() if sys.platform == "linux" else os.getpid()


@dataclass(frozen=True)
class Mode:
    """A nested value."""

    bits: int = 8


@dataclass(frozen=True)
class OtherMode:
    """Equal fields, another meaning."""

    bits: int = 8


class _Tiny(Step):
    worker = "tiny"


@dataclass(frozen=True)
class Tells(_Tiny):
    """Tells its text, prints another, and tells that it is done."""

    text: str

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        """Tell."""
        tell(self.text)
        print("this is for the log")
        tell("done")
        (out / "text").write_text(self.text)


@dataclass(frozen=True)
class Join(_Tiny):
    """Writes its text and what its inputs hold; notes each run in a file beside the store."""

    text: str
    keep: int = 1_000_000
    """How many characters of the result are kept: few lets a change die out."""
    mode: Mode | OtherMode | None = None
    names: tuple[str, ...] = ()

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        """Join the texts."""
        note(self.text)
        texts = [self.text]
        for name, path in sorted(inputs.items()):
            texts.append(
                f"{name}({(path / 'text').read_text() if path.is_dir() else path.read_text()})"
            )
        (out / "sub").mkdir()
        (out / "text").write_text("+".join(texts)[: self.keep])
        (out / "sub" / "fixed").write_bytes(b"fixed")


@dataclass(frozen=True)
class Slow(Join):
    """Takes its time, and says when it began and ended."""

    seconds: float = 0.2

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        """Sleep, then join."""
        note(f"begin {self.text}")
        time.sleep(self.seconds)
        note(f"end {self.text}")
        super().run(inputs, out)


@dataclass(frozen=True)
class Alone(Slow):
    """A slow step that must run alone."""

    exclusive = True


@dataclass(frozen=True)
class Measure(Join):
    """Joins, and says that what it gives depends on the machine."""

    measures = True


@dataclass(frozen=True)
class Tooled(Join):
    """Joins, and imports a library."""

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        """Import, then join."""
        import pytest  # noqa: F401

        super().run(inputs, out)


@dataclass(frozen=True)
class Odd(_Tiny):
    """Misbehaves in the way that it is told to."""

    how: str
    number: int = 0

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        """Do it."""
        note(self.how)
        getattr(self, f"do_{self.how}")(out)

    def do_hidden(self, out: Path) -> None:
        """Import a module of ours by a name that no reader sees."""
        import_module(".".join(("olive_build", "rewrites", "padding_mask")))
        (out / "text").write_text("done")

    def do_nothing(self, out: Path) -> None:
        """Write no file."""

    def do_raise(self, out: Path) -> None:
        """Fail with a bug."""
        (out / "half").write_text("half")
        raise ValueError("the weights are\nnot finite")

    def do_proof(self, out: Path) -> None:
        """Fail with an error of ours."""
        raise ProofError("too far off", why="0.2 > 0.1", hint="use int8")

    def do_crash(self, out: Path) -> None:
        """Die in native code."""
        os.kill(os.getpid(), signal.SIGSEGV)

    def do_exit(self, out: Path) -> None:
        """End the process behind Python's back."""
        os._exit(7)

    def do_flood(self, out: Path) -> None:
        """Print megabytes: from Python, a subprocess and C."""
        for _ in range(2000):
            print("x" * 1000)
        subprocess.run([sys.executable, "-c", "print('y' * 1_000_000)"], check=True)
        ctypes.CDLL(None).puts(b"from C")
        print('{"seconds": 0, "peak_bytes": 0}', flush=True)
        (out / "text").write_text("done")

    def do_link(self, out: Path) -> None:
        """Write a link."""
        (out / "link").symlink_to("/etc/hostname")

    def do_allocate(self, out: Path) -> None:
        """Use `number` megabytes."""
        block = bytearray(self.number * 1_000_000)
        block[::4096] = b"x" * len(block[::4096])
        (out / "text").write_text(str(len(block)))

    def do_random(self, out: Path) -> None:
        """Write other bytes each time."""
        (out / "same").write_text("same")
        (out / "text").write_text(os.urandom(8).hex())

    def do_pid(self, out: Path) -> None:
        """Write which process this is, and what its surroundings are."""
        (out / "pid").write_text(str(_worker()))
        (out / "environment").write_text("\n".join(f"{k}={v}" for k, v in os.environ.items()))

    def do_fill(self, out: Path) -> None:
        """Write more than the disk is said to hold."""
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            (out / "big").write_bytes(b"0" * 200_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    def do_orphan(self, out: Path) -> None:
        """Start a process that would outlive the step, then hang."""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        note(f"child {child.pid}")
        note(f"worker {os.getpid()}")
        time.sleep(60)


@dataclass(frozen=True)
class InToolchain(Odd):
    """Does the same in the environment of onnxruntime-training."""

    worker = "training"

    def do_versions(self, out: Path) -> None:
        """Write which onnxruntime there is, and whether this environment's libraries are."""
        import onnxruntime

        seen = "pydantic" if find_spec("pydantic") else "no pydantic"
        preloaded = "numpy" in sys.modules
        (out / "text").write_text(f"{onnxruntime.__version__}, {seen}, {preloaded=}")


def note(text: str) -> None:
    """Append a line to the file that counts runs; short appends are atomic."""
    with open(os.environ["TINY_NOTES"], "a", encoding="utf-8") as file:
        file.write(text + "\n")
