"""Where steps and kinds of workers are found by name: both sides of a worker's pipe ask here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

VARIABLE = "OLIVE_BUILD_STEP_REGISTRY"
"""Environment variable "module:ATTRIBUTE" or "/path/to/module.py:ATTRIBUTE", so that tests can
bring steps of their own; a toolchain sees only those of a path."""
TOOLCHAINS = "olive_build.toolchains.provision"
"""Module with what `Toolchains` lists; found by name, as steps are, for it knows this layer."""


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


class Toolchains(Protocol):
    """What the engine asks of the locked environments."""

    def version_of(self, toolchain: str, distribution: str) -> str:
        """Return the version that the lock pins; nothing need be made for that."""

    def python_of(self, toolchain: str, report: Callable[[str], object] | None = None) -> Path:
        """Make the environment where there is none; raises StepError if that fails."""

    def command(self, toolchain: str, module: str, *arguments: str) -> list[str]:
        """Return the command that runs a module of this package there."""


def toolchains() -> Toolchains:
    """Return what knows the locked environments."""
    return cast(Toolchains, import_module(TOOLCHAINS))


def step_class(kind: str) -> type:
    """Return the class of a kind of step. Raises LookupError if none is registered."""
    module, attribute = _registry()
    steps: Mapping[str, str] = getattr(module, attribute)
    if kind not in steps:
        raise LookupError(f"no step of kind {kind!r} is registered in {module.__name__}")
    where, _, name = steps[kind].partition(":")
    found: type = getattr(import_module(where), name)
    return found


def worker_kind(name: str) -> WorkerKind:
    """Return what is known of a kind of worker; the registry's module may say so in WORKERS."""
    module, _ = _registry()
    kinds: Mapping[str, WorkerKind] = getattr(module, "WORKERS", {})
    return kinds.get(name, WorkerKind())


def _registry() -> tuple[ModuleType, str]:
    where, _, attribute = os.environ.get(VARIABLE, "olive_build.steps:STEPS").rpartition(":")
    return _from_file(where) if where.endswith(".py") else import_module(where), attribute


def _from_file(path: str) -> ModuleType:
    name = Path(path).stem
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
