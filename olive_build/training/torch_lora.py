"""Low-rank adapters (LoRA) on linear layers, which keep the names of their own parameters.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch.nn import functional

from olive_build.errors import StepError
from olive_build.training.settings import Lora
from olive_build.training.torch_names import listed, near, what_there_is

WHERE = "train.lora.modules"


class LoraLinear(torch.nn.Linear):
    """W x + b + alpha / rank * B A x, for x [..., in]; `lora_A` is A [rank, in], `lora_B` B.

    B [out, rank] begins as zero, so the layer begins as the one that it takes the place of.
    """

    def __init__(self, layer: torch.nn.Linear, rank: int, alpha: float) -> None:
        # On `meta` nothing is drawn or allocated for the weights, which come from `layer`.
        super().__init__(
            layer.in_features, layer.out_features, layer.bias is not None, device="meta"
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.scale = alpha / rank
        self.lora_A = torch.nn.Parameter(torch.empty(rank, layer.in_features))
        self.lora_B = torch.nn.Parameter(torch.zeros(layer.out_features, rank))
        # As torch.nn.Linear draws its weight, which is what the paper's own code does.
        torch.nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  (torch's own name)
        low = functional.linear(functional.linear(input, self.lora_A), self.lora_B)
        return functional.linear(input, self.weight, self.bias) + low * self.scale


@dataclass(frozen=True)
class Adapted:
    """The adapters' own parameters, which are trained, and those of the layers, which are not."""

    own: tuple[str, ...] = ()
    base: frozenset[str] = frozenset()


def add_lora(
    model: torch.nn.Module, lora: Lora | None, seed: int, *, head: str | None = None
) -> Adapted:
    """Give each linear layer that a pattern names an adapter, drawn with `seed` in model order.

    A new `head` gets none: it is trained whole. Raises StepError for a pattern that names no linear
    layer, and for a rank that is not below the layer's own.
    """
    if lora is None:
        return Adapted()
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name
    }
    for pattern in lora.modules:
        _check(pattern, model, linear, head)
    chosen = [
        name
        for name in linear
        if name != head and any(fnmatchcase(name, pattern) for pattern in lora.modules)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in chosen:
            _adapt(model, name, linear[name], lora)
    base = frozenset(f"{name}.{kind}" for name in chosen for kind in ("weight", "bias"))
    return Adapted(
        tuple(f"{name}.{kind}" for name in chosen for kind in ("lora_A", "lora_B")), base
    )


def _adapt(model: torch.nn.Module, name: str, layer: torch.nn.Linear, lora: Lora) -> None:
    smaller = min(layer.in_features, layer.out_features)
    if lora.rank >= smaller:
        raise StepError(
            f"LoRA of rank {lora.rank} is not below the rank of '{name}'",
            where="train.lora.rank",
            why=f"the layer is {layer.out_features} x {layer.in_features}, so its own weights "
            "would be no more to train",
            hint=f"take a rank below {smaller}, or train the layer itself by `requires_grad`",
        )
    parent, _, own = name.rpartition(".")
    adapted = LoraLinear(layer, lora.rank, lora.alpha)
    setattr(model.get_submodule(parent), own, adapted.train(layer.training))


def _check(pattern: str, model: torch.nn.Module, linear: Collection[str], head: str | None) -> None:
    matched = [name for name in linear if fnmatchcase(name, pattern)]
    if matched and set(matched) != {head}:
        return
    if matched:
        raise StepError(
            f"LoRA's '{pattern}' names the new head alone",
            where=WHERE,
            why="a new head is trained whole, and has nothing to adapt",
            hint="name the layers below it",
        )
    others = [name for name, _ in model.named_modules() if name and fnmatchcase(name, pattern)]
    if others:
        kind = type(model.get_submodule(others[0])).__name__
        raise StepError(
            f"LoRA's '{pattern}' names no linear layer",
            where=WHERE,
            why=f"'{others[0]}' is a {kind}, and adapters are for torch.nn.Linear",
            hint=f"linear layers near it: {listed(near(others[0], linear) or linear)}",
        )
    raise StepError(
        f"LoRA's '{pattern}' matches no module",
        where=WHERE,
        why=what_there_is(pattern, list(linear), "linear layers"),
        hint="patterns are compared with whole names, such as *.attention.self.query",
    )
