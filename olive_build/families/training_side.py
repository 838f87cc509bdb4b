"""The PyTorch side of a classifier that goes on learning: the same in every call, and as exported.

Imported in worker processes only. What is exported for training has no random operator in it, and
PyTorch's losses can be held against it step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
import transformers

from olive_build.families.loading import Loaded, from_files

Arrays = dict[str, npt.NDArray[Any]]
BATCH = "batch_size"
# Rows of the inputs by which it is found out what outputs read.
PROBE_BATCH = 2
# Wav2Vec2's kind of models: masks over time and features, drawn anew in every step.
MASKS = ("mask_time_prob", "mask_feature_prob")


@dataclass(frozen=True)
class TrainingSide:
    """A model of a transformers' auto class `kind` that gives logits.

    `free` are the first axes of each input by name; those that are not named are the model's own,
    as `examples(folder, batch, shapes, seed)` has them, which gives seeded inputs.
    """

    kind: Any
    free: Mapping[str, tuple[str, ...]]
    examples: Callable[[Path, int, Mapping[str, int], int], Arrays]
    output: str = "logits"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(self.free)

    def loading(self, folder: Path, head: str | None = None) -> Loaded:
        """Return the model with what is to be said of its files: fp32, eval mode, plain attention.

        What they lack of `head`, the layer that a new one takes the place of, is zero. Raises
        PlanError where an output reads anything else that they lack.
        """

        def run(model: torch.nn.Module) -> torch.Tensor:
            given = self.examples(folder, PROBE_BATCH, {}, 0)
            return self.forward(model, *(torch.from_numpy(given[name]) for name in self.inputs))

        config = transformers.AutoConfig.from_pretrained(str(folder))
        for name, value in config.to_dict().items():
            if is_chance(name) and isinstance(value, int | float):
                setattr(config, name, 0.0)
        if hasattr(config, "apply_spec_augment"):
            config.apply_spec_augment = False
        loaded = from_files(
            self.kind, folder, run, head=head, config=config, attn_implementation="eager"
        )
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                module.p = 0.0
        return loaded

    def load(self, folder: Path, head: str | None = None) -> torch.nn.Module:
        """Return the model in eval mode, fp32; nothing is dropped, masked or skipped by chance.

        The word of padding learns like any other, as in a graph, which knows no such exception.
        """
        model: torch.nn.Module = self.loading(folder, head).model
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.padding_idx = None
        return model

    def forward(self, model: torch.nn.Module, *values: torch.Tensor) -> torch.Tensor:
        """Return logits [batch_size, classes] of the inputs in order."""
        logits: torch.Tensor = model(**dict(zip(self.inputs, values, strict=True))).logits
        return logits

    def axes(self, shapes: Mapping[str, int]) -> dict[str, tuple[int | str, ...]]:
        """Return the first axes of inputs and output: a number, or a name where it is free."""
        named = {**self.free, self.output: (BATCH,)}
        return {name: tuple(shapes.get(a, a) for a in axes) for name, axes in named.items()}


def is_chance(name: str) -> bool:
    """Whether a field of a configuration is a probability of leaving something out."""
    return name in MASKS or "dropout" in name or name in ("layerdrop", "drop_path_rate")
