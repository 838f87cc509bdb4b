"""Where steps and kinds of workers are found by name: both sides of a worker's pipe ask here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

VARIABLE = "OLIVE_BUILD_STEP_REGISTRY"
"""Environment variable "module:ATTRIBUTE", so that tests can bring steps of their own."""


@dataclass(frozen=True)
class WorkerKind:
    """What the workers of one kind have in common."""

    preload: tuple[str, ...] = ()
    """Modules that are imported once, before the first step."""
    costly: bool = False
    """Starting one costs seconds and hundreds of megabytes, so half of the jobs have to do."""

    def at_most(self, jobs: int) -> int:
        """How many workers of the kind run at once."""
        return max(1, jobs // 2) if self.costly else jobs


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
    module, _, attribute = os.environ.get(VARIABLE, "olive_build.steps:STEPS").partition(":")
    return import_module(module), attribute
