"""A family of the tests' own: any network of one input, seeded, float32 [batch_size, *shape]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

network: Callable[[], torch.nn.Module] = torch.nn.Identity
shape: tuple[int, ...] = (6,)


class Side:
    """What learns, for the rest of training."""

    inputs, output = ("values",), "logits"

    def load(self, folder: Path, head: str | None = None) -> torch.nn.Module:
        torch.manual_seed(1)
        return network().eval()

    def forward(self, model: torch.nn.Module, values: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = model(values)
        return output

    def axes(self, shapes: Mapping[str, int]) -> dict[str, tuple[int | str, ...]]:
        batch = shapes.get("batch_size", "batch_size")
        return {"values": (batch,), "logits": (batch,)}

    def examples(
        self, folder: Path, batch: int, shapes: Mapping[str, int], seed: int
    ) -> dict[str, npt.NDArray[Any]]:
        random = np.random.default_rng(seed)
        return {"values": random.standard_normal((batch, *shape)).astype(np.float32)}


side = Side()
