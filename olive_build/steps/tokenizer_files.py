"""The tokenizer's files that are shipped beside a graph, as the library reads the model's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.families.facts import Facts
from olive_build.families.library_tokenizer import TokenizerSettings


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
