"""Models with seeded weights whose outputs say something. Imported in worker processes only.

Fresh models have biases of zero and norms of one, so a graph that lost those would look right, and
BatchNorms without statistics let outputs vanish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

SEED, NOISE = 0, 0.1


def seeded_model(kind: Any, config: Any) -> Any:
    """Return a model of class `kind` in eval mode, with the same weights each time.

    What its class leaves constant, such as biases, gets a little noise. PyTorch's generator is
    left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = kind(config).float().eval()
        _add_noise(model)
    return model


def _add_noise(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for value in model.parameters():
            if value.is_floating_point() and value.numel() > 1 and _is_constant(value):
                value.add_(NOISE * torch.randn_like(value))


def _is_constant(value: torch.Tensor) -> bool:
    return bool((value == value.flatten()[0]).all())


def fill_statistics(model: torch.nn.Module, inputs: dict[str, Any]) -> None:
    """Give the BatchNorms of a model the statistics of one batch of its inputs."""
    norms = [item for item in model.modules() if isinstance(item, _BatchNorm)]
    if not norms:
        return
    with torch.no_grad(), _learning(norms):
        model(**inputs)


@contextmanager
def _learning(norms: Iterable[Any]) -> Iterator[None]:
    norms = list(norms)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
