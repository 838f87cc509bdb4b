"""How the kinds of models become graphs: a folder each; `registry` finds them."""

from __future__ import annotations

from typing import Any

from olive_build import rooms

# What a family that trains has for that alone.
OF_TRAINING = ("training_side", "examples", "trials")


def module_of(family: str, name: str) -> str:
    """Return what a family's module is called that only workers import.

    Those are `torch_side`, `calibration`, `sample`, `compose`, `miniature`, and of families that
    train `training_side` and `examples`. A step has it as a field, and imports it where it runs. A
    task has one module for all of them but those of training, whose `SIDE` stands for it.
    """
    folder = family.replace("-", "_")
    if folder in rooms.names("tasks") and name not in OF_TRAINING:
        return f"{rooms.PACKAGE}.tasks.{folder}"
    return own_module(family, name)


def own_module(family: str, name: str) -> str:
    """Return what a module is called that lies in a family's own folder."""
    return f"{rooms.PACKAGE}.families.{family.replace('-', '_')}.{name}"


def family_module(family: str, name: str) -> Any:
    """Import a family's module."""
    return rooms.look_up(module_of(family, name))
