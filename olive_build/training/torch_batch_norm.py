"""Batch norms of a trained network become part of the layers before them.

On a device a batch is too small for statistics of its own, so the stored ones stay, as in PyTorch's
eval mode; a norm is then a scale and a shift. onnxruntime-training's gradient of the operator is
that of training mode, off by 3.5e-2, so the operator must not be in the graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from olive_build.errors import StepError

# Of the largest output. Rounding alone is 1e-6; a norm in the wrong layer changes 1e-2 and more.
TOLERANCE = 1e-4
Convolution = torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d
# A layer's output for one vector a sample, whose channels are the second and last axis.
PLAIN = 2


@dataclass(frozen=True)
class Folded:
    """By names of modules: norms that went into a layer, and those that became scale and shift."""

    into: dict[str, str] = field(default_factory=dict)
    affine: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many norms are part of another layer now."""
        return len(self.into)


class Affine(torch.nn.Module):
    """x * weight + bias for x [batch, channels, ...]; both are [channels, 1, ...]."""

    def __init__(self, norm: _BatchNorm, axes: int) -> None:
        super().__init__()
        scale, shift = _scale_and_shift(norm)
        shape = (-1, *(1,) * (axes - 2))
        self.weight = torch.nn.Parameter(scale.reshape(shape))
        self.bias = torch.nn.Parameter(shift.reshape(shape))

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  (torch's own name)
        return input * self.weight + self.bias


def fold_batch_norms(model: torch.nn.Module, run: Callable[[], torch.Tensor]) -> Folded:
    """Replace every batch norm of `model`, whose `run` gives an output, as in eval mode.

    A norm goes into the convolution or linear layer whose output it alone reads; any other becomes
    an Affine of the same name. Raises StepError where a norm has no stored statistics, and where
    the output changes by more than 1e-4 of its largest value.
    """
    norms = {name: item for name, item in model.named_modules() if isinstance(item, _BatchNorm)}
    if not norms:
        return Folded()
    model.eval()
    for name, norm in norms.items():
        _check_statistics(name, norm)
    flow = _Flow(model)
    with torch.no_grad(), flow.recorded():
        before = run()
        flow.note_use(before)
    into: dict[str, str] = {}
    for name, norm in norms.items():
        layer = flow.layer_before(norm)
        if layer is None:
            _put(model, name, Affine(norm, flow.axes_of(norm)))
        else:
            _fold(model.get_submodule(layer), norm)
            _put(model, name, torch.nn.Identity())
            into[name] = layer
    with torch.no_grad():
        _check_unchanged(before, run())
    return Folded(into, tuple(name for name in norms if name not in into))


class _Flow:
    """Which layer's output is the very input of which norm, and who else reads it."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._names: dict[torch.nn.Module, str] = {
            module: name for name, module in model.named_modules()
        }
        self._calls: Counter[torch.nn.Module] = Counter()
        self._axes: dict[torch.nn.Module, int] = {}
        # By the id of an output. Outputs are kept, so that none is freed and its id given again.
        self._made: dict[int, tuple[torch.nn.Module, torch.Tensor, int]] = {}
        self._before: dict[torch.nn.Module, int] = {}
        self._uses: Counter[int] = Counter()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Watch all layers and norms, and every operation that reads a layer's output."""
        hooks = []
        for module in self._names:
            if isinstance(module, _BatchNorm):
                hooks.append(module.register_forward_pre_hook(self._enter))
            elif isinstance(module, Convolution | torch.nn.Linear):
                hooks.append(module.register_forward_hook(self._leave))
        try:
            with _Uses(self.note_use):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def note_use(self, value: Any) -> None:
        """Count one more reader of a layer's output, if `value` is one."""
        if id(value) in self._made:
            self._uses[id(value)] += 1

    def axes_of(self, norm: torch.nn.Module) -> int:
        """Return how many axes the norm's input has; two where it was never run."""
        return self._axes.get(norm, PLAIN)

    def layer_before(self, norm: _BatchNorm) -> str | None:
        """Return the name of the layer that can take the norm's scale and shift, or None."""
        made = self._before.get(norm)
        if made is None or self._calls[norm] != 1 or self._uses[made] != 1:
            return None
        layer = self._made[made][0]
        shared = [
            other
            for other in self._names
            if other is not layer and getattr(other, "weight", None) is layer.weight
        ]
        if self._calls[layer] != 1 or shared or parametrize.is_parametrized(layer):
            return None
        if isinstance(layer, torch.nn.Linear) and self._axes[norm] != PLAIN:
            return None  # Its last axis is not the second, which holds the norm's channels.
        return self._names[layer]

    def _enter(self, norm: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        self._calls[norm] += 1
        value = arguments[0]
        self._axes[norm] = value.dim()
        # Another version was written over in place, such as by ReLU(inplace=True).
        if id(value) in self._made and self._made[id(value)][2] == value._version:
            self._before[norm] = id(value)

    def _leave(self, layer: torch.nn.Module, _arguments: Any, output: Any) -> None:
        self._calls[layer] += 1
        if isinstance(output, torch.Tensor):  # Subclasses may give more than that.
            self._made[id(output)] = (layer, output, output._version)


class _Uses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells of every tensor that an operation reads."""

    def __init__(self, note: Callable[[Any], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._note = note

    def __torch_dispatch__(  # type: ignore[no-untyped-def]
        self, function, types, args=(), kwargs=None
    ):
        for value in tree_leaves((args, kwargs or {})):
            if isinstance(value, torch.Tensor):
                self._note(value)
        return function(*args, **(kwargs or {}))


def _scale_and_shift(norm: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach()
    shift = -mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach()


def _fold(layer: torch.nn.Module, norm: _BatchNorm) -> None:
    assert isinstance(layer, Convolution | torch.nn.Linear)
    fuse = fuse_linear_bn_weights if isinstance(layer, torch.nn.Linear) else fuse_conv_bn_weights
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    weight = torch.ones_like(mean) if norm.weight is None else norm.weight
    bias = torch.zeros_like(mean) if norm.bias is None else norm.bias
    with torch.no_grad():
        layer.weight, layer.bias = fuse(
            layer.weight, layer.bias, mean, variance, norm.eps, weight, bias
        )


def _put(model: torch.nn.Module, name: str, module: torch.nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module.eval())


def _check_statistics(name: str, norm: _BatchNorm) -> None:
    if norm.running_mean is None:
        raise StepError(
            f"the batch norm '{name}' cannot be folded",
            why="it has no stored statistics: it takes those of each batch, also outside training",
            hint="give it track_running_stats=True before the model is trained, or another norm",
        )


def _check_unchanged(before: torch.Tensor, after: torch.Tensor) -> None:
    scale = max(float(before.abs().max()), float(torch.finfo(before.dtype).tiny))
    change = float((before - after).abs().max()) / scale
    if not change <= TOLERANCE:
        raise StepError(
            f"folding the batch norms changes the model's output by {change:.2g} of its largest",
            why=f"at most {TOLERANCE:.0e} is rounding; more is a norm in the wrong place",
            hint="report the model's architecture",
        )
