"""Layers by damage: what `olive-build explain --quality` found, as it is shown, written and read.

Decibels are infinite where there is no noise at all, minus infinite where nothing is left; JSON has
null for both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from olive_build.errors import UsageError
from olive_build.record.codec import decode, encode
from olive_build.untrusted import followed, read_json

# A rewritten place whose noise is below this is the same but for rounding.
EXACT_DB = 80.0
REWRITTEN = "rewritten"


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """What one layer costs: the loss at the model's end when it alone is quantized."""

    node: str
    operator: str = ""
    precision: str = ""
    own_db: float | None = None
    damage: float
    share: float
    accumulated_db: float | None = None
    reference_bytes: int = 0
    variant_bytes: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether it is only written in another way."""
        return self.precision == REWRITTEN and (self.own_db or 0) >= EXACT_DB


@dataclass(frozen=True)
class StageView:
    """One step of a build: the figures of what it made against PyTorch, or why there are none."""

    step: str
    figures: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class SuggestionView:
    """Layers to leave in fp32, and what that changes; `gain` is the part of the loss it takes."""

    exclude: tuple[str, ...]
    nodes: tuple[str, ...]
    added_bytes: int
    expected_gain: float
    loss_before: float
    loss_after: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class DamageView:
    """The layers of one variant in its order, against a reference, and what to change."""

    reference: str
    variant: str
    inputs: str = ""
    samples: int = 0
    matching_points: int = 0
    loss: float = 0.0
    notes: tuple[str, ...] = ()
    stages: tuple[StageView, ...] = ()
    layers: tuple[LayerView, ...]
    suggestions: tuple[SuggestionView, ...] = ()
    recipe_change: str | None = None

    @property
    def ranking(self) -> tuple[LayerView, ...]:
        """The layers, the one that does most damage first."""
        return tuple(sorted(self.layers, key=lambda item: (-item.damage, item.node)))


def to_json(found: DamageView) -> dict[str, Any]:
    """Return it as plain data, the worst layer first; ratios that are infinite are null."""
    data: dict[str, Any] = encode(replace(found, layers=found.ranking))
    for layer in data["layers"]:
        for name in ("own_db", "accumulated_db"):
            if layer[name] is not None and not math.isfinite(layer[name]):
                layer[name] = None
    return data


def read_damage(path: Path) -> DamageView:
    """Return the layers in a file. Raises UsageError when there is none, or it is another kind."""
    try:
        found = decode(DamageView, read_json(followed(path)))
        if not found.layers:
            raise ValueError("it has no layers")
    except (OSError, ValueError) as error:
        raise UsageError(
            "the file of layers by damage cannot be read",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="write it with `olive-build explain --quality BUNDLE --json > FILE`",
        ) from error
    return found
