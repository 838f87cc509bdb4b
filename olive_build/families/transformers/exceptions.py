"""The architectures that the road of any architecture does not fit: `exceptions.yaml`. Light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from olive_build.errors import PlanError
from olive_build.families.configuration import architecture_of
from olive_build.targets.reading import Fields, read_mapping

DATA = Path(__file__).with_suffix(".yaml")
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Exceptions:
    """By class or model_type: the rung to start at, and why a model is not built."""

    start: Mapping[str, str]
    refused: Mapping[str, str]
    reasons: Mapping[str, str]


@cache
def load_exceptions() -> Exceptions:
    """Return what the file says. Raises DataError where it is wrong."""
    fields = Fields(read_mapping(DATA), DATA)
    start: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for line in fields.mappings("start"):
        rung = line.text("rung")
        found = _reasons(line)
        start |= dict.fromkeys(found, rung)
        reasons |= found
    refused: dict[str, str] = {}
    for line in fields.mappings("refused"):
        refused |= _reasons(line)
    fields.done()
    return Exceptions(start, refused, reasons)


def start_of(config: Mapping[str, Any]) -> str | None:
    """Return the rung of the ladder that is tried first; None for the plainest."""
    return _of(load_exceptions().start, config)


def refusal_of(config: Mapping[str, Any]) -> str | None:
    """Return why a model with this configuration is not built; None for all others."""
    return _of(load_exceptions().refused, config)


def check_exceptions(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise PlanError for a model that is known to come out wrong, or not at all."""
    why = refusal_of(config)
    if why is not None:
        kind = architecture_of(config) or config.get("model_type")
        raise PlanError(
            f"a {kind} cannot be built",
            where=str(folder),
            why=why,
            hint="take a model of another architecture for this task",
        )


def _reasons(line: Fields) -> dict[str, str]:
    names, why, source = (line.text(name) for name in ("for", "because", "source"))
    line.done()
    return dict.fromkeys(names.split(), f"{why.strip()} ({source})")


def _of(found: Mapping[str, Kind], config: Mapping[str, Any]) -> Kind | None:
    names = (architecture_of(config), config.get("model_type"))
    return next((found[name] for name in names if isinstance(name, str) and name in found), None)
