"""A toy: models of two components that give a word one vector, by its letters."""

from __future__ import annotations

from olive_build.families.registry import Family

FAMILY = Family(
    name="toy-letters",
    tasks=("letter-counting",),
    metrics=("evenness",),
    data=("words",),
    calibration=("calibration-words",),
    samples="words",
    data_suffix=".jsonl",
    takes=("letters", "letters"),
    sizes=(8,),
    size_unit="letters",
    components=("encoder", "decoder"),
    description="A toy of two components that gives a word one vector, by its letters",
    axes=(("batch_size", 1), ("letters", 8)),
    searches=False,
)
