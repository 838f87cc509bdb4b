"""A model without its tokenizer or processor, with inputs by the signature of its forward.

What a ladder is given where no samples of the library's own can be made. Pictures and sounds have
one size. Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
import transformers

from olive_build.families.loading import from_files
from olive_build.families.transformers.example_inputs import SETTINGS, example_inputs
from olive_build.families.transformers.library import without_cache
from olive_build.families.transformers.output_names import named_outputs
from olive_build.families.transformers.significance import insignificant
from olive_build.families.transformers.task_of import class_of, task_of

# Sizes of the settings that are free in a graph, and what they are called.
FREE = {"sequence": "sequence_length", "decoder": "decoder_sequence_length"}


class BySignature:
    """A loaded model with made-up inputs, whose product is every output that says something."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
        self.task = task_of(config, folder)
        self.model = from_files(class_of(config, self.task), folder, self._run, **settings).model

    @property
    def quiet(self) -> Mapping[str, bool]:
        """What keeps a model that can write on from giving its cache."""
        return without_cache(self.model)

    def groups(self, counts: Sequence[int]) -> list[dict[str, npt.NDArray[Any]]]:
        """Return inputs in batches of so many samples, all but the first of each batch padded."""
        return [
            {name: value.numpy() for name, value in self._inputs(index, count).items()}
            for index, count in enumerate(counts)
        ]

    def axis(self, name: str, index: int) -> str:
        """Return what a free axis of an input is called, after the size that it has."""
        if index == 0:
            return "batch_size"
        length = self._inputs(0, 1)[name].shape[index]
        named = (text for field, text in FREE.items() if getattr(SETTINGS[0], field) == length)
        return next(named, f"{name}_{index}")

    def product(self, outputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the outputs that have size and spread."""
        return {name: outputs[name] for name in self._names if name in outputs}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        one, other = (
            self._outputs(self.model, self._inputs(0, SETTINGS[0].batch, seed)) for seed in (1, 2)
        )
        weak = insignificant(one, other)
        return tuple(
            name for name, value in one.items() if value.is_floating_point() and name not in weak
        )

    def _inputs(self, index: int, count: int, seed: int | None = None) -> dict[str, torch.Tensor]:
        first = SETTINGS[0]
        setting = replace(SETTINGS[index], batch=count, samples=first.samples, frames=first.frames)
        drawn = index if seed is None else seed
        return example_inputs(self.model, self.task, setting, seed=drawn, fixed_pixels=True)

    def _run(self, model: Any) -> Any:
        self.model = model
        return tuple(self._outputs(model, self._inputs(0, SETTINGS[0].batch)).values())

    def _outputs(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return named_outputs(model(**inputs, **without_cache(model)))


def opened(folder: Path, **settings: Any) -> BySignature:
    """Return the model in `folder` with made-up inputs; `settings` are from_pretrained's."""
    return BySignature(folder, **settings)
