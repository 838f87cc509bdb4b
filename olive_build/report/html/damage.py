"""Layers by damage, from what `olive-build explain --quality BUNDLE --json` wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import UsageError


@dataclass(frozen=True)
class LayerView:
    """What one layer costs: the loss at the model's end when it alone is quantized."""

    name: str
    precision: str
    damage: float
    share: float
    own_db: float | None
    accumulated_db: float | None


@dataclass(frozen=True)
class StageView:
    """Fidelity after one step of the build, and what kept it from being measured."""

    name: str
    figures: Mapping[str, float]
    problem: str


@dataclass(frozen=True)
class DamageView:
    """The layers of one variant, the worst first, and the change that the analysis would make."""

    about: str
    against: str
    stages: tuple[StageView, ...]
    layers: tuple[LayerView, ...]
    recipe_change: str | None


def read_damage(path: Path) -> DamageView:
    """Return the layers in a file. Raises UsageError when there is none, or it is another kind."""
    try:
        return to_view(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            "the file of layers by damage cannot be read",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="write it with `olive-build explain --quality BUNDLE --json > FILE`",
        ) from error


def to_view(data: Any) -> DamageView:
    """Return the layers of that JSON. Raises KeyError, TypeError or ValueError when it is none."""
    layers = tuple(_layer(item) for item in data["layers"])
    if not layers:
        raise ValueError("it has no layers")
    change = data.get("recipe_change")
    return DamageView(
        about=str(data["variant"]),
        against=str(data["reference"]),
        stages=tuple(_stage(item) for item in data.get("stages") or ()),
        layers=tuple(sorted(layers, key=lambda item: (-item.damage, item.name))),
        recipe_change=None if change is None else str(change),
    )


def _stage(item: Any) -> StageView:
    figures = {str(name): float(value) for name, value in item["figures"].items()}
    return StageView(str(item["step"]), figures, str(item.get("problem") or ""))


def _layer(item: Any) -> LayerView:
    damage, share = float(item["damage"]), float(item["share"])
    if not (math.isfinite(damage) and math.isfinite(share)):
        raise ValueError(f"the layer {item['node']} has no finite damage")
    return LayerView(
        name=str(item["node"]),
        precision=str(item.get("precision", "")),
        damage=damage,
        share=share,
        own_db=_db(item.get("own_db")),
        accumulated_db=_db(item.get("accumulated_db")),
    )


def _db(value: Any) -> float | None:
    """Return decibels; None where there is no noise at all (infinite) or nothing was measured."""
    return None if value is None or not math.isfinite(float(value)) else float(value)
