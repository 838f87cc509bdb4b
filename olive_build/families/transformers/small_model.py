"""A small model out of a configuration of transformers', with seeded weights, held to its outputs.

Imported in worker processes only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from olive_build.errors import StepError, first_line
from olive_build.families.transformers.backbones import NOTE, lacks_timm
from olive_build.families.transformers.example_inputs import SETTINGS, example_inputs
from olive_build.families.transformers.output_names import named_outputs
from olive_build.families.transformers.seeded import fill_statistics, seeded_model
from olive_build.families.transformers.shrink import ANY, Wanted, config_of_few_layers, small_config
from olive_build.families.transformers.significance import insignificant

# What fits into memory and is written in a moment; a miniature that is larger is none.
MOST_WEIGHTS = 50_000_000
Shrinking = Callable[[Any, Wanted], Any]


@dataclass(frozen=True)
class Shrunk:
    """A small configuration, how it was made, and what a reader must know of it, a line each."""

    config: Any
    how: Literal["small", "layers only"]
    notes: tuple[str, ...] = ()


class DoesNotFit(Exception):
    """A configuration that was made small does not make a model that runs; the text says why."""


def small_model(config: Any, kind: Any, task: str, wanted: Wanted = ANY) -> tuple[Any, Shrunk]:
    """Return a small model of the class `kind`, and what its configuration became.

    Where the model of small widths does not run, only layers are left out. Raises StepError where
    that does not run either, is too large, or has outputs that prove nothing.
    """
    notes = (NOTE,) if lacks_timm(config.to_dict()) else ()
    how: Literal["small", "layers only"] = "small"
    try:
        small, model = made(config, kind, task, wanted, small_config)
    except DoesNotFit as error:
        notes = (*notes, f"only layers were left out, since small widths do not fit: {error}")
        small, model = _of_few_layers(config, kind, task, wanted)
        how = "layers only"
    return model, Shrunk(small, how, notes + _checked(model, task))


def run(model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the outputs of one forward by name, without a cache."""
    known = inspect.signature(model.forward).parameters
    given: dict[str, Any] = {"use_cache": False} if "use_cache" in known else {}
    with torch.no_grad():
        return named_outputs(model(**inputs, **given))


def made(config: Any, kind: Any, task: str, wanted: Wanted, shrinking: Shrinking) -> Any:
    """Return a configuration that was made small and its model, which has run once.

    Raises DoesNotFit with the reason of transformers or PyTorch where it does not run.
    """
    try:
        small = shrinking(config, wanted)
        model = seeded_model(kind, small)
        inputs = example_inputs(model, task, SETTINGS[0])
        fill_statistics(model, inputs)
        run(model, inputs)
    except StepError:
        raise
    except Exception as error:
        raise DoesNotFit(f"{type(error).__name__}: {first_line(error)}") from error
    return small, model


def _of_few_layers(config: Any, kind: Any, task: str, wanted: Wanted) -> Any:
    try:
        count = _count_of_weights(kind, config_of_few_layers(config, wanted))
        if count > MOST_WEIGHTS:
            raise _no_miniature(kind, f"with its own widths it has {count:,} weights")
        return made(config, kind, task, wanted, config_of_few_layers)
    except DoesNotFit as error:
        raise _no_miniature(kind, str(error)) from error


def _count_of_weights(kind: Any, config: Any) -> int:
    try:
        with torch.device("meta"):
            return sum(item.numel() for item in kind(config).parameters())
    except Exception as error:
        raise DoesNotFit(f"{type(error).__name__}: {first_line(error)}") from error


def _no_miniature(kind: Any, why: str) -> StepError:
    return StepError(
        f"no miniature can be made of a {kind.__name__}",
        where="miniatures.yaml",
        why=why,
        hint="this says nothing of the model itself: build it without --smoke",
    )


def _checked(model: Any, task: str) -> tuple[str, ...]:
    """Return what is to be said of a model's outputs. Raises StepError where they prove nothing."""
    first, second = (run(model, example_inputs(model, task, SETTINGS[0], seed=n)) for n in (1, 2))
    again = run(model, example_inputs(model, task, SETTINGS[0], seed=1))
    name = type(model).__name__
    random = [key for key in first if not _equal(first[key], again.get(key))]
    if random:
        raise _proves_nothing(name, f"{random[0]} differs between two runs of the same inputs")
    weak = insignificant(first, second)
    floats = [key for key, value in first.items() if value.is_floating_point()]
    if not floats or floats[0] in weak:
        why = f"{floats[0]} {weak[floats[0]]}" if floats else "there are none that are fractions"
        raise _proves_nothing(name, why)
    return tuple(f"the miniature proves nothing of {key}: they {why}" for key, why in weak.items())


def _equal(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and bool(
        one.shape == other.shape
        and torch.allclose(one.double(), other.double(), rtol=1e-4, equal_nan=True)
    )


def _proves_nothing(name: str, why: str) -> StepError:
    return StepError(
        f"a miniature of {name} proves nothing: its outputs say too little",
        why=why,
        hint="this says nothing of the model itself: build it without --smoke",
    )
