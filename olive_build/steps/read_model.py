"""A step that asks transformers what a folder's model is, without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step, write_json

READ = "read.json"


@dataclass(frozen=True)
class ReadModel(Step):
    """Write read.json: class, tasks, processors and missing packages; see `reading.described`.

    Inputs: source (model folder). Raises PlanError where transformers has no such model.
    """

    worker = "torch"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.families.transformers.reading import described

        write_json(out / READ, described(inputs["source"]))
