"""What tasks of texts have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.shown_texts import (
    feeds_code,
    fixed_length,
    texts_shown,
    tokenizer_code,
)
from olive_build.families.transformers.task import Task
from olive_build.values import dataclass

# Texts of three lengths, and none that a proof is made of.
EXAMPLES = (
    "A small dog sleeps.",
    "Last night the ferry from Bergen came in two hours late because of the storm.",
    (
        "Maria Keller sold her house in Graz, bought a boat and has been living on the water near "
        "Trieste since the first of May; her brother still thinks she will be back by autumn."
    ),
    "No.",
    "The museum opens at nine and closes at five, except on Mondays.",
    "Water boils at 100 degrees.",
)


@dataclass(frozen=True, kw_only=True)
class TextTask(Task):
    """A task whose samples are texts, each cut by nobody: the model's tokenizer reads it."""

    samples: str = "texts"
    data_suffix: str = ".jsonl"
    data: tuple[str, ...] = ("sentences",)
    calibration: tuple[str, ...] = ("calibration-sentences",)
    size_unit: str = "tokens"
    sizes: tuple[int, ...] = (16, 128)
    axes: tuple[tuple[str, int], ...] = (("batch_size", 1), ("sequence_length", 128))
    # How the library cuts what is too long, where that is not its default.
    cuts: str = ""

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        return texts_shown(folder)

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        return {
            "tokenizer": tokenizer_code(shown, fixed_length(takes), most, self.cuts),
            "feeds": feeds_code(takes),
        }

    def read(self, data: Path) -> Sequence[Any]:
        """Return the texts of a file, or what its lines have under `fields`."""
        from olive_build.tasks._lines import read_lines

        return read_lines(data, self.fields)

    def examples(self, library: Any) -> Sequence[Any]:
        return EXAMPLES
