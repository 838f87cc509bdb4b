"""The model is loaded once before anything is planned: what its files lack is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step, write_json

LOADING = "loading.json"


@dataclass(frozen=True)
class LoadCheck(Step):
    """Write loading.json: which tensors are missing, unexpected, mismatched or ignored, and notes.

    Inputs: source (model folder). `loader` is the family's module that loads the model; `head` is
    the layer that a new one takes the place of, where there is one. Raises PlanError where an
    output reads a tensor that the files do not have, and for what else `from_files` refuses.
    """

    loader: str
    head: str | None = None

    worker = "torch"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.families.configuration import read_value

        folder = inputs["source"]
        for path in sorted(folder.rglob("*.json")):
            read_value(path)  # what is read by a library is held to the same limits
        module = rooms.look_up(self.loader)
        loaded = module.loading(folder, *filter(None, (self.head,)))
        write_json(out / LOADING, loaded.described())
