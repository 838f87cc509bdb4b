"""How the kinds of models become graphs: a folder each; `registry` finds them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def family_module(family: str, room: str) -> ModuleType:
    """Return a family's module that only workers import.

    Those are `torch_side`, `calibration`, `sample`, `compose`, `miniature`, and of families that
    train `training` and `examples`.
    """
    return import_module(f"olive_build.families.{family.replace('-', '_')}.{room}")
