"""A family of the tests' own: any network of one input becomes a model that a recipe can train."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from olive_build import rooms
from olive_build.families import registry
from olive_build.families.registry import FAMILIES
from olive_build.training.settings import Loss, Optimizer, Train

FAMILY = "stub-classification"
ROOM = "olive_build.families.stub_classification"
NOTHING = Train(
    requires_grad=(),
    frozen=(),
    head=None,
    lora=None,
    loss=Loss("cross-entropy"),
    optimizer=Optimizer("adamw", 1e-2),
    rename=(),
    batch_size=4,
    epochs=1,
    seed=0,
    nominal_checkpoint=False,
)


def register(
    monkeypatch: pytest.MonkeyPatch,
    network: Callable[[], torch.nn.Module],
    shape: tuple[int, ...] = (6,),
) -> None:
    """Make FAMILY load `network`, seeded, for values float32 [batch_size, *shape]."""
    spec, training = ModuleType(f"{ROOM}.spec"), ModuleType(f"{ROOM}.training")

    def load(folder: Path, head: str | None = None) -> torch.nn.Module:
        torch.manual_seed(1)
        return network().eval()

    def axes(shapes: Mapping[str, int]) -> dict[str, tuple[int | str, ...]]:
        batch = shapes.get("batch_size", "batch_size")
        return {"values": (batch,), "logits": (batch,)}

    def examples(
        folder: Path, batch: int, shapes: Mapping[str, int], seed: int
    ) -> dict[str, npt.NDArray[Any]]:
        random = np.random.default_rng(seed)
        return {"values": random.standard_normal((batch, *shape)).astype(np.float32)}

    side = SimpleNamespace(
        inputs=("values",),
        output="logits",
        load=load,
        forward=lambda model, values: model(values),
        axes=axes,
        examples=examples,
    )
    vars(training).update(side=side)
    facts = SimpleNamespace(training_data=lambda shapes: {"kind": "stub", **shapes})
    vars(spec).update(inspect=lambda folder: facts)
    for name, room in (("spec", spec), ("training", training)):
        monkeypatch.setitem(sys.modules, f"{ROOM}.{name}", room)
    entry = replace(FAMILIES["image-classification"], name=FAMILY)
    monkeypatch.setitem(registry._walked(rooms.extensions()), FAMILY, entry)


def train(*requires_grad: str, **changes: Any) -> Train:
    """Return settings that train what these patterns name, with some fields changed."""
    return replace(NOTHING, requires_grad=requires_grad, **changes)


class TwoLayers(torch.nn.Module):
    """6 -> 5 -> 3: `body`, a ReLU, and `top`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(6, 5)
        self.top = torch.nn.Linear(5, 3)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.top(torch.relu(self.body(values)))
        return found
