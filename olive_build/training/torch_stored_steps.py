"""The three steps that a bundle keeps of PyTorch, from drawn states. See stored_steps.py."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from olive_build.families.training_side import Arrays
from olive_build.training.settings import Train
from olive_build.training.sketch import sketch
from olive_build.training.stored_steps import (
    COUNT,
    DONE,
    GRADIENT,
    LEAST,
    MOVE,
    SHARE,
    drawn_moments,
    drawn_parameter,
    key,
)
from olive_build.training.torch_loss import loss_function, seeded_targets
from olive_build.training.torch_model import FEW, Trainable
from olive_build.training.torch_steps import MOMENTS, deterministic, torch_optimizer

# Of targets; inputs are the reference's.
SEED = 2000
# Where a parameter has no gradient at all, its moments are so small.
SMALLEST_MOMENT = 1e-6


def stored_steps(side: Trainable, train: Train, feeds: Mapping[str, Any]) -> Arrays:
    """Return what training_steps.npz holds: the steps are taken on rows of `feeds`.

    `feeds` has arrays by the graph's names. The model is as it was afterwards.
    """
    parameters = dict(sorted(side.parameters().items()))
    initial = {name: value.detach().numpy().copy() for name, value in parameters.items()}
    scales = [SHARE * _size(value) + LEAST for value in initial.values()]
    taken = []
    with deterministic():
        for step in range(COUNT):
            _begin(parameters, initial, scales, step)
            taken.append(_step(side, train, parameters, feeds, step))
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(torch.from_numpy(initial[name]))
    found = {name: np.stack([item[name] for item in taken]) for name in taken[0] if "." not in name}
    alone = {name: value for item in taken for name, value in item.items() if "." in name}
    digests = [hashlib.sha256(np.ascontiguousarray(v).data).hexdigest() for v in initial.values()]
    moments = len(MOMENTS) if train.optimizer.name == "adamw" else 0
    told = {"names": list(initial), "begun": digests, "scales": scales, "moments": moments}
    return {**found, **alone, **{name: np.array(value) for name, value in told.items()}}


def _begin(
    parameters: Mapping[str, torch.nn.Parameter], initial: Arrays, scales: list[float], step: int
) -> None:
    with torch.no_grad():
        for index, (name, value) in enumerate(parameters.items()):
            values = drawn_parameter(initial[name], scales[index], step, index)
            value.copy_(torch.from_numpy(values))


def _step(
    side: Trainable,
    train: Train,
    parameters: Mapping[str, torch.nn.Parameter],
    feeds: Mapping[str, Any],
    step: int,
) -> Arrays:
    """Take one step from the parameters as they are; return what is kept of it."""
    rows, inputs = _rows(side, feeds, step)
    target = seeded_targets(train.loss, len(rows), side.outputs, SEED + step)
    for value in parameters.values():
        value.grad = None
    logits = side.run(inputs)
    loss = loss_function(train.loss, side.outputs)(logits, torch.from_numpy(target))
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [_gradient(value) for value in parameters.values()]
    scales = [max(_size(gradient), SMALLEST_MOMENT) for gradient in gradients]
    before = [value.detach().numpy().copy() for value in parameters.values()]
    _optimize(train, parameters, scales, step)
    after = [value.detach().numpy() for value in parameters.values()]
    moves = [one.astype(np.float64) - other for one, other in zip(after, before, strict=True)]
    return {
        "rows": rows,
        f"target.{step}": target,
        f"logits.{step}": logits.detach().numpy(),
        "losses": np.array(float(loss.detach())),
        "moment_scales": np.array(scales),
        "gradients": np.stack(_sketches(gradients, GRADIENT, step)),
        "gradient_lengths": np.array([np.linalg.norm(value) for value in gradients]),
        "moves": np.stack(_sketches(moves, MOVE, step)),
        "move_lengths": np.array([np.linalg.norm(value) for value in moves]),
        "roundings": np.array([np.linalg.norm(np.spacing(np.abs(value))) for value in after]),
    }


def _rows(side: Trainable, feeds: Mapping[str, Any], step: int) -> tuple[Any, Arrays]:
    """Return which rows of the reference a step takes, other ones each time, and its inputs."""
    count = len(next(iter(feeds.values())))
    size = side.batch or FEW
    rows = (np.arange(size) + step * size) % count
    return rows, {name: feeds[side.names[name]][rows] for name in side.inputs}


def _gradient(value: torch.nn.Parameter) -> Any:
    found = value.grad if value.grad is not None else torch.zeros_like(value)
    return found.detach().numpy().copy()


def _optimize(
    train: Train, parameters: Mapping[str, torch.nn.Parameter], scales: list[float], step: int
) -> None:
    """Take PyTorch's own step with the gradients that are there, from drawn moments."""
    values = list(parameters.values())
    optimizer = torch_optimizer(train.optimizer, values)
    if train.optimizer.name == "adamw":
        for index, value in enumerate(values):
            moments = drawn_moments(tuple(value.shape), scales[index], step, index)
            held = zip(MOMENTS, map(torch.from_numpy, moments), strict=True)
            optimizer.state[value] = {"step": torch.tensor(float(DONE)), **dict(held)}
    optimizer.step()


def _sketches(values: list[Any], kind: int, step: int) -> list[Any]:
    return [sketch(value, *key(kind, step, index)) for index, value in enumerate(values)]


def _size(values: Any) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
