"""The PyTorch side: what is exported, and what PyTorch itself gives for words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from olive_build.families.loading import Loaded
from olive_build.families.toy_letters.spec import (
    DECODER,
    ENCODER,
    LETTERS,
    STATES,
    VECTOR,
    WEIGHTS,
    inspect,
)
from olive_build.families.toy_letters.words import letters_of, read_words
from olive_build.olive_bridge import TorchExport
from olive_build.proof.references.lengths import LengthsReference

KNOWN_LETTERS = 27
PROBE_SHAPES = ((1, 8), (2, 5), (3, 11))


class Encoder(torch.nn.Module):
    """Letters [batch_size, letters] to states [batch_size, letters, width]; padding's are zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(KNOWN_LETTERS, width, padding_idx=0)
        self.weight = torch.nn.Parameter(torch.randn(width, width))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.table(input_ids) @ self.weight
        return states


class Decoder(torch.nn.Module):
    """States to one vector a word, [batch_size, dimensions]; half of a product, for a rewrite."""

    def __init__(self, width: int, dimensions: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(width, dimensions))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return torch.tanh((states.sum(1) @ self.weight) * 0.5)


class Letters(torch.nn.Module):
    """Both, as the model's files have them."""

    def __init__(self, width: int, dimensions: int) -> None:
        super().__init__()
        self.encoder = Encoder(width)
        self.decoder = Decoder(width, dimensions)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.decoder(self.encoder(input_ids))
        return vectors


def load(folder: Path) -> Letters:
    """Return the model in eval mode."""
    facts = inspect(folder)
    model = Letters(facts.width, facts.dimensions)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.eval()


def loading(folder: Path) -> Loaded:
    """Return the model; its own loader has no tensor missing."""
    return Loaded(load(folder))


def torch_export(folder: Path, component: str) -> TorchExport:
    """Return what Olive's conversion needs."""
    given, gives = (LETTERS, STATES) if component == ENCODER else (STATES, VECTOR)
    axes = {0: "batch_size", 1: "letters"}
    return TorchExport(
        load=lambda: getattr(load(folder), component),
        example=lambda: {given: _example(folder, component, (2, 7))},
        inputs=(given,),
        outputs=(gives,),
        dynamic_axes={given: axes, gives: axes if gives == STATES else {0: "batch_size"}},
        probes=lambda: [{given: _example(folder, component, shape)} for shape in PROBE_SHAPES],
    )


def _example(folder: Path, component: str, shape: tuple[int, int]) -> npt.NDArray[Any]:
    letters = torch.from_numpy(np.random.default_rng(0).integers(1, KNOWN_LETTERS, shape))
    with torch.inference_mode():
        states: torch.Tensor = load(folder).encoder(letters).clone()
    return (states if component == DECODER else letters).numpy()


def reference(folder: Path, data: Path) -> LengthsReference:
    """Return what PyTorch gives for each word by itself."""
    words, model = read_words(data), load(folder)
    letters = tuple(letters_of(word) for word in words)
    with torch.inference_mode():
        rows = [model(torch.from_numpy(row[None])).numpy() for row in letters]
    return LengthsReference(tuple(words), letters, np.concatenate(rows), "mean", False)


def runner(
    folder: Path, model: Letters, takes: str, text: str, size: int, batch: int
) -> Callable[[], Any]:
    """Return a call that runs `text`, `batch` times at once, in PyTorch, for timing."""
    rows = torch.from_numpy(np.stack([letters_of(text)] * batch))

    def run() -> Any:
        with torch.inference_mode():
            return model(rows)

    return run
