"""A toy: models of two components that give a word one vector, by its letters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.families.registry import Family

if TYPE_CHECKING:
    from olive_build.families.facts import Facts


def _inspect(folder: Path) -> Facts:
    from olive_build.families.toy_letters.spec import inspect

    return inspect(folder)


FAMILY = Family(
    name="toy-letters",
    inspect=_inspect,
    tasks=("letter-counting",),
    metrics=("evenness",),
    data=("words",),
    calibration=("calibration-words",),
    samples="words",
    data_suffix=".jsonl",
    miniature_data=None,
    takes=("letters", "letters"),
    parts=(),
    sizes=(8,),
    size_unit="letters",
    components=("encoder", "decoder"),
    description="A toy of two components that gives a word one vector, by its letters",
    axes=(("batch_size", 1), ("letters", 8)),
    searches=False,
)
