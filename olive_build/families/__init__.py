"""How the kinds of models become graphs: a folder each; `registry` finds them."""

from __future__ import annotations

from types import ModuleType

from olive_build import rooms


def module_of(family: str, name: str) -> str:
    """Return what a family's module is called that only workers import.

    Those are `torch_side`, `calibration`, `sample`, `compose`, `miniature`, and of families that
    train `training` and `examples`. A step has it as a field, and imports it where it runs.
    """
    return f"{rooms.PACKAGE}.families.{family.replace('-', '_')}.{name}"


def family_module(family: str, name: str) -> ModuleType:
    """Import a family's module."""
    return rooms.look_up(module_of(family, name))
