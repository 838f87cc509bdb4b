"""Layers by damage, from what `olive-build explain --quality BUNDLE --json` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import UsageError
from olive_build.record.codec import decode, rest
from olive_build.record.read import MOST_BYTES
from olive_build.untrusted import read_json


@dataclass(frozen=True)
class LayerView:
    """What one layer costs: the loss at the model's end when it alone is quantized.

    Decibels are None where there is no noise at all, or nothing was measured.
    """

    node: str
    damage: float
    share: float
    precision: str = ""
    own_db: float | None = None
    accumulated_db: float | None = None
    more: Mapping[str, object] = rest()


@dataclass(frozen=True)
class StageView:
    """Fidelity after one step of the build, and what kept it from being measured."""

    step: str
    figures: Mapping[str, float]
    problem: str | None = None


@dataclass(frozen=True)
class DamageView:
    """The layers of one variant against a reference, and the change that the analysis would make.

    Raises ValueError where there is no layer.
    """

    variant: str
    reference: str
    layers: tuple[LayerView, ...]
    stages: tuple[StageView, ...] = ()
    recipe_change: str | None = None
    more: Mapping[str, object] = rest()

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("it has no layers")

    @property
    def worst(self) -> list[LayerView]:
        """The layers, those first that do most damage."""
        return sorted(self.layers, key=lambda item: (-item.damage, item.node))


def read_damage(path: Path) -> DamageView:
    """Return the layers in a file. Raises UsageError when there is none, or it is another kind."""
    try:
        return decode(DamageView, read_json(path, MOST_BYTES))
    except (OSError, ValueError) as error:
        raise UsageError(
            "the file of layers by damage cannot be read",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="write it with `olive-build explain --quality BUNDLE --json > FILE`",
        ) from error
