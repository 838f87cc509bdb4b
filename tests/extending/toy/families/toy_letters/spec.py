"""What a model of letters is, read from its configuration alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import PlanError
from olive_build.families.facts import Axes, Component, Facts

CONFIG, WEIGHTS = "letters.json", "letters.safetensors"
ENCODER, DECODER = "encoder", "decoder"
LETTERS, STATES, VECTOR = "input_ids", "states", "sentence_embedding"


@dataclass(frozen=True, kw_only=True)
class LettersFacts(Facts):
    """`width` is how many values an encoder gives a letter, `dimensions` how many a word has."""

    width: int
    dimensions: int

    @property
    def components(self) -> tuple[Component, ...]:
        """From letters to states, and from those to one vector."""
        return Component(ENCODER), Component(DECODER, fed_by=(ENCODER,))

    def templates(self, language: str, takes: Axes) -> dict[str, tuple[str, ...]]:
        """Return the one template that there is for a language."""
        return {"": (f"letters.{language}",)}

    def placeholders(self, takes: Axes, options: Mapping[str, str]) -> dict[str, str]:
        """Return how many values a word has."""
        return {"values": str(self.dimensions)}


def inspect(folder: Path) -> LettersFacts:
    """Return the facts of the model in `folder`. Raises PlanError for another."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return LettersFacts(
            architecture="Letters",
            inputs=(LETTERS,),
            composed_files=(CONFIG,),
            width=int(found["width"]),
            dimensions=int(found["dimensions"]),
        )
    except (OSError, ValueError, KeyError) as error:
        raise PlanError("the model is not one of letters", where=str(folder)) from error
