"""A family of the tests' own: any network of one input becomes a model that a recipe can train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from olive_build import rooms
from olive_build.training.settings import Loss, Optimizer, Train

rooms.extend(Path(__file__).with_name("rooms"))
# What steps are given of a family.
FAMILY = "olive_build.families.stub_classification.training_side"
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
    stub = rooms.look_up(FAMILY)
    monkeypatch.setattr(stub, "network", network)
    monkeypatch.setattr(stub, "shape", shape)


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
