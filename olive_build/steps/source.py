"""Steps on a model's folder: a miniature is made, a model is loaded, its tokenizer is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step, write_json
from olive_build.families.facts import Facts
from olive_build.families.library_tokenizer import TokenizerSettings


@dataclass(frozen=True)
class Miniature(Step):
    """Write a model folder as the family's own tools would save it; seconds, no network.

    Inputs: source (model folder), for a family of any architecture: what is written is like it.
    `miniature` is the family's module. It has at least `layers` layers, and one of each kind.
    """

    miniature: str
    layers: int = 0

    worker = "torch"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        write = rooms.look_up(self.miniature).write_miniature
        write(out, self.layers, *inputs.values())


LOADING = "loading.json"


@dataclass(frozen=True)
class LoadCheck(Step):
    """Write loading.json: how the tensors fit the model's, notes, and what was measured.

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


@dataclass(frozen=True)
class TokenizerFiles(Step):
    """Write tokenizer.json and tokenizer_config.json. Inputs: source (model folder).

    Raises StepError where transformers cannot read the tokenizer.
    """

    settings: TokenizerSettings

    worker = "torch"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.families.library_tokenizer import write_client_tokenizer

        write_client_tokenizer(inputs["source"], self.settings, out)


def tokenizer_files(facts: Facts) -> TokenizerFiles | None:
    """Return the step that writes what clients read of a model's tokenizer; None without one."""
    return None if facts.tokenizer is None else TokenizerFiles(facts.tokenizer)
