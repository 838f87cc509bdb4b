"""What a network is traced with: samples in three settings, and which of their axes are free.

An axis is free in the graph where the library's own samples differ in it; the batch always is.
Imported in worker processes only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from olive_build.families.transformers.output_names import named_outputs

Free = Literal["all", "batch", "none"]
Feeds = Mapping[str, npt.NDArray[Any]]
# So many samples are one batch in each setting. The first is traced: no size of it is 1 or a power
# of two, which an exporter may take for a constant.
BATCHES = (3, 2, 1)


class Traced(Protocol):
    """A loaded model with inputs: the library's own (`Library`), or made up (`BySignature`).

    `quiet` is what forward is given besides its inputs.
    """

    @property
    def model(self) -> Any: ...

    @property
    def quiet(self) -> Mapping[str, bool]: ...

    def groups(self, counts: Sequence[int]) -> Sequence[Feeds]:
        """Return inputs in batches of so many samples, of other sizes each where there are some."""

    def axis(self, name: str, index: int) -> str:
        """Return what a free axis of an input is called."""

    def product(self, outputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return those of the network's outputs that the graph gives."""


@dataclass(frozen=True)
class Settings:
    """Inputs in several settings, the first of which is traced, and the names of free axes."""

    feeds: Sequence[Feeds]
    axes: Mapping[str, Mapping[int, str]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.feeds[0])


def settings_of(traced: Traced, free: Free) -> Settings:
    """Return the settings in which a graph with these free axes is proved.

    Without free axes a graph takes one sample at a time, and is proved with several of one size.
    """
    groups = traced.groups(BATCHES)
    axes = {
        name: {
            index: traced.axis(name, index)
            for index in range(groups[0][name].ndim)
            if len({group[name].shape[index] for group in groups}) > 1
        }
        for name in groups[0]
    }
    if free == "all":
        return Settings(groups, axes)
    batch = {name: {i: text for i, text in of.items() if i == 0} for name, of in axes.items()}
    if free == "batch":
        cut = [{n: a[:size] for n, a in groups[0].items()} for size in BATCHES]
        return Settings(cut, batch)
    single = [{n: a[i : i + 1] for n, a in groups[0].items()} for i in range(BATCHES[0])]
    return Settings(single, {name: {} for name in axes})


def output_axes(traced: Traced, settings: Settings) -> dict[str, dict[int, str]]:
    """Return the free axes of each output by the size that they have in common with an input's.

    One that is nowhere has a name of its own.
    """
    shapes = [
        {name: value.shape for name, value in run(traced, feeds).items()}
        for feeds in settings.feeds
    ]
    sizes: dict[tuple[int, ...], str] = {}
    for name, of in settings.axes.items():
        for index, text in of.items():
            sizes.setdefault(tuple(feeds[name].shape[index] for feeds in settings.feeds), text)
    found: dict[str, dict[int, str]] = {}
    for name, shape in shapes[0].items():
        found[name] = {}
        for index in range(len(shape)):
            seen = tuple(each[name][index] for each in shapes)
            if len(set(seen)) > 1:
                found[name][index] = sizes.get(seen, f"{name}_{index}")
    return found


def run(traced: Traced, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
    """Return what PyTorch gives for these inputs, of what clients read."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in feeds.items()}
    with torch.inference_mode():
        outputs = named_outputs(traced.model(**tensors, **traced.quiet))
    return {name: value.numpy() for name, value in traced.product(outputs).items()}


def flat(traced: Traced, inputs: Sequence[str], outputs: Sequence[str]) -> torch.nn.Module:
    """Return the network with these inputs as parameters, and a tuple of these outputs."""

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = traced.model

        forward: Callable[..., Any] = _with_parameters(inputs, _run)

        def run(self, tensors: Mapping[str, torch.Tensor]) -> Any:
            found = named_outputs(self.model(**tensors, **traced.quiet))
            chosen = tuple(found[name] for name in outputs)
            return chosen if len(chosen) > 1 else chosen[0]

    return Flat().eval()


def _run(module: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    return module.run(tensors)


def _with_parameters(names: Sequence[str], run: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method whose parameters have these names: exporters read them off its signature.

    The names are parameters of a library's own function, so they are identifiers.
    """
    listed = ", ".join(names)
    given = ", ".join(f"{name!r}: {name}" for name in names)
    space: dict[str, Any] = {"run": run}
    exec(f"def forward(self, {listed}): return run(self, {{{given}}})", space)  # noqa: S102
    made: Callable[..., Any] = space["forward"]
    assert list(inspect.signature(made).parameters)[1:] == list(names)
    return made
