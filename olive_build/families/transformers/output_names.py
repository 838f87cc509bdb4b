"""Names of a model's outputs, from one run of it. Imported in worker processes only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

# What a model keeps for its next step, and what is for training.
LEFT_OUT = ("past_key_values", "cache_params", "state", "loss")


def named_outputs(output: Any) -> dict[str, Tensor]:
    """Return the tensors of what forward returns by name, in its order.

    Tensors within others are named by their path, `hidden_states.0`. Caches, losses and whatever
    is None are left out.
    """
    items = output.items() if isinstance(output, Mapping) else enumerate(output)
    return dict(
        named
        for name, value in items
        if name not in LEFT_OUT
        for named in _flattened(str(name), value)
    )


def output_names(output: Any) -> tuple[str, ...]:
    """Return the names alone."""
    return tuple(named_outputs(output))


def _flattened(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flattened(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _flattened(f"{name}.{number}", inner)
