"""A tiny model of a family with seeded weights, so that every recipe is proved on every commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step


@dataclass(frozen=True)
class Miniature(Step):
    """Write a model folder as the family's own tools would save it; seconds, no network.

    `miniature` is the family's module. It has at least `layers` layers, and one of each kind.
    """

    miniature: str
    layers: int = 0

    worker = "torch"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:

        rooms.look_up(self.miniature).write_miniature(out, self.layers)
