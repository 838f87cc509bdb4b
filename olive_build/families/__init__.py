"""How the kinds of models become graphs: a folder each; `registry` finds them."""

from __future__ import annotations

from typing import Any

from olive_build import rooms


def module_of(family: str, name: str) -> str:
    """Return what a family's module is called that only workers import.

    Those are `torch_side`, `calibration`, `sample`, `compose`, `miniature`, and of families that
    train `training` and `examples`. A step has it as a field, and imports it where it runs. A task
    has one module for all of them, whose `SIDE` stands for it.
    """
    folder = family.replace("-", "_")
    if folder in rooms.names("tasks"):
        return f"{rooms.PACKAGE}.tasks.{folder}"
    return f"{rooms.PACKAGE}.families.{folder}.{name}"


def family_module(family: str, name: str) -> Any:
    """Import a family's module."""
    return rooms.look_up(module_of(family, name))
