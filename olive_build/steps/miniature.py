"""A tiny model of a family with seeded weights, so that every recipe is proved on every commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Miniature:
    """Write a model folder as the family's own tools would save it; seconds, no network."""

    family: str

    kind: ClassVar[str] = "miniature"
    version: ClassVar[int] = 4
    worker: ClassVar[str] = "torch"
    tools: ClassVar[tuple[str, ...]] = (
        *("torch", "transformers", "tokenizers"),
        "sentence-transformers",
    )
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.families import family_module

        family_module(self.family, "miniature").write_miniature(out)
