"""Where steps and kinds of workers are found by name: both sides of a worker's pipe ask here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from olive_build import rooms
from olive_build.engine.step import Step

TOOLCHAINS = "olive_build.toolchains.provision"
"""Module with what `Toolchains` lists; found by name, for it knows this layer."""


@dataclass(frozen=True)
class WorkerKind:
    """What the workers of one kind have in common."""

    preload: tuple[str, ...] = ()
    """Modules that are imported once, before the first step."""
    costly: bool = False
    """Starting one costs seconds and hundreds of megabytes, so half of the jobs have to do."""
    toolchain: str = ""
    """The locked environment that they run in; "" is that of this process."""

    def at_most(self, jobs: int) -> int:
        """How many workers of the kind run at once."""
        return max(1, jobs // 2) if self.costly else jobs


WORKERS: Mapping[str, WorkerKind] = {
    "torch": WorkerKind(preload=("torch", "transformers"), costly=True),
    "olive": WorkerKind(
        preload=(
            "onnx",
            "onnxruntime",
            "torch",
            "olive.model",
            "olive.package_config",
            "olive.passes.olive_pass",
            "olive.hardware.accelerator",
            "olive_build.olive_bridge",
        ),
        costly=True,
    ),
    "onnxruntime": WorkerKind(preload=("numpy", "onnx", "onnxruntime", "tokenizers")),
    "training": WorkerKind(preload=("numpy", "onnx"), toolchain="training"),
}
"""By what a step calls its worker; others preload nothing."""


class Toolchains(Protocol):
    """What the engine asks of the locked environments."""

    def pins(self, toolchain: str) -> Mapping[str, str]:
        """Return the lock's packages with their versions; nothing need be made for that."""

    def python_of(self, toolchain: str, report: Callable[[str], object] | None = None) -> Path:
        """Make the environment if there is none; raises StepError if that fails."""

    def command(self, toolchain: str, module: str, *arguments: str) -> list[str]:
        """Return the command that runs a module of this package there."""


def toolchains() -> Toolchains:
    """Return what knows the locked environments."""
    return cast(Toolchains, import_module(TOOLCHAINS))


def step_class(kind: str) -> type[Step]:
    """Return the class of a kind, looked up among the steps that lie in rooms.

    Raises LookupError if there is none.
    """
    module, _, name = kind.partition(":")
    found = getattr(rooms.look_up(module), name, None)
    if isinstance(found, type) and issubclass(found, Step) and found.__module__ == module:
        return found
    raise LookupError(f"no step is called {kind!r}")


def worker_kind(name: str) -> WorkerKind:
    """Return what is known of a kind of worker."""
    return WORKERS.get(name, WorkerKind())
