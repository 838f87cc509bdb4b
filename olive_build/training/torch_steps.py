"""The first steps of training as PyTorch takes them: what the artifacts are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from olive_build.errors import StepError
from olive_build.families.training_side import Arrays
from olive_build.proof.references.logits import ROWS, LogitsReference
from olive_build.training.settings import Optimizer, Train
from olive_build.training.steps_file import compared_steps
from olive_build.training.torch_loss import LossFunction, loss_function, seeded_targets
from olive_build.training.torch_model import BATCH, Trainable

# More would take longer, and show nothing more.
LARGEST_BATCH = 8
# Shares of the largest batch, and of the length that a family's examples have, which steps take in
# turn where those are free: graphs that hold for one size alone are seen. The first are largest.
BATCHES = (1, 5 / 8, 1, 3 / 8, 1 / 8)
LENGTHS = (1, 1, 3 / 4)
# What torch.optim.AdamW calls the means of gradients and of their squares.
MOMENTS = ("exp_avg", "exp_avg_sq")
# Of the reference's inputs; steps have the seeds from 0.
REFERENCE_SEED = 1000


def reference_of(side: Trainable) -> LogitsReference:
    """Return eight rows of seeded inputs by the graph's names, with the logits of PyTorch.

    They are of the model as it is now; where the batch is fixed they are run that many at a time.
    """
    batch = side.batch or ROWS
    given = [side.examples(batch, REFERENCE_SEED + index) for index in range(-(-ROWS // batch))]
    with torch.no_grad():
        logits = [side.run(inputs).numpy() for inputs in given]
    feeds = {
        side.names[name]: np.concatenate([inputs[name] for inputs in given])[:ROWS]
        for name in side.inputs
    }
    return LogitsReference(feeds, np.concatenate(logits)[:ROWS], side.names[side.output])


@dataclass(frozen=True)
class Batch:
    """Inputs by the family's names, and the target."""

    inputs: Arrays
    target: npt.NDArray[Any]


def take_steps(side: Trainable, train: Train, steps: int) -> Arrays:
    """Train `side` for so many steps; return what steps.npz holds.

    Each step has a batch of its own: seeded inputs and targets, of other sizes where they are free.
    The model stays in eval mode, so that nothing is drawn; with all dropout at zero, that is how
    the graph computes too. Of some steps all that they begin from and come to is in it, so that
    each can be repeated by itself. Raises StepError where a loss is no finite number.
    """
    loss_of = loss_function(train.loss, side.outputs)
    parameters = side.parameters()
    optimizer = torch_optimizer(train.optimizer, list(parameters.values()))
    batches = [_batch(side, train, step) for step in range(steps)]
    size = sum(4 * value.numel() for value in parameters.values())
    compared = compared_steps(size, steps)
    found: Arrays = _prefixed("initial", parameters)
    losses: list[float] = []
    with deterministic():
        for step, batch in enumerate(batches):
            if step and step in compared:
                found |= _state(step, parameters, optimizer)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(side.run(batch.inputs), torch.from_numpy(batch.target))
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()))
            _check_finite(losses, train)
            if step in compared:
                gradients = {n: p.grad for n, p in parameters.items()}
                found |= _prefixed(f"gradient.{step}", gradients)
            optimizer.step()
            if step in compared:
                found |= _prefixed(f"after.{step}", parameters)
        evaluated = _evaluation(side, train, loss_of, steps)
    stored = {
        key: value
        for step, batch in enumerate(batches)
        for key, value in _stored(side, batch, f"input.{step}", f"target.{step}").items()
    }
    told = {"losses": np.array(losses, np.float64), "compared": np.array(compared, np.int64)}
    return {**found, **_prefixed("final", parameters), **stored, **evaluated, **told}


def _state(
    step: int,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> Arrays:
    """Return what a step begins from: parameters, and the optimizer's moments where it has some."""
    found = _prefixed(f"state.{step}", parameters)
    for number, kind in enumerate(MOMENTS):
        held = {n: optimizer.state[p].get(kind) for n, p in parameters.items()}
        found |= _prefixed(f"moment{number}.{step}", held)
    return found


def _evaluation(side: Trainable, train: Train, loss_of: LossFunction, seed: int) -> Arrays:
    """Return an unseen batch of full size, with the logits and the loss of the model as it is."""
    unseen = _draw(side, train, side.batch or _largest(train), seed)
    with torch.no_grad():
        logits = side.run(unseen.inputs)
        loss = loss_of(logits, torch.from_numpy(unseen.target))
    return {
        **_stored(side, unseen, "eval_inputs", "eval_target"),
        "eval_logits": logits.numpy(),
        "eval_loss": np.array(float(loss), np.float64),
    }


def _batch(side: Trainable, train: Train, step: int) -> Batch:
    """Return the seeded batch of a step, of the size that is its turn."""
    share = BATCHES[step % len(BATCHES)]
    batch = _draw(side, train, side.batch or max(1, int(_largest(train) * share)), step)
    length = LENGTHS[step % len(LENGTHS)]
    return Batch(
        {n: _shortened(v, side.axes[n], length) for n, v in batch.inputs.items()}, batch.target
    )


def _draw(side: Trainable, train: Train, size: int, seed: int) -> Batch:
    target = seeded_targets(train.loss, size, side.outputs, seed)
    return Batch(side.examples(size, seed), target)


def _largest(train: Train) -> int:
    return min(train.batch_size, LARGEST_BATCH)


def _shortened(
    values: npt.NDArray[Any], axes: tuple[int | str, ...], share: float
) -> npt.NDArray[Any]:
    """Keep the first share of each free axis other than the batch: clips or texts that are cut."""
    kept = tuple(
        slice(max(1, int(size * share)) if isinstance(axis, str) and axis != BATCH else None)
        for axis, size in zip(axes, values.shape, strict=True)
    )
    return np.ascontiguousarray(values[kept])


def _stored(side: Trainable, batch: Batch, inputs: str, target: str) -> Arrays:
    named = {f"{inputs}.{side.names[name]}": batch.inputs[name] for name in side.inputs}
    return {**named, target: batch.target}


def torch_optimizer(
    settings: Optimizer, parameters: list[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """Return PyTorch's own optimizer with the recipe's numbers."""
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, lr=settings.lr)
    return torch.optim.AdamW(
        parameters,
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )


def write_steps(arrays: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Write steps.npz; the same arrays give the same bytes."""
    with path.open("wb") as file:
        np.savez(file, **dict(sorted(arrays.items())))  # type: ignore[arg-type]


def _prefixed(kind: str, values: Mapping[str, torch.Tensor | None]) -> Arrays:
    # Copies: an optimizer writes into the same memory.
    return {
        f"{kind}.{name}": value.detach().numpy().copy()
        for name, value in values.items()
        if value is not None
    }


def _check_finite(losses: list[float], train: Train) -> None:
    if not np.isfinite(losses[-1]):
        raise StepError(
            f"PyTorch's loss is no finite number at step {len(losses)}",
            where="train.optimizer.lr",
            why=f"the losses are {', '.join(f'{loss:.4g}' for loss in losses[-3:])}",
            hint=f"take a learning rate below {train.optimizer.lr:g}",
        )


@contextmanager
def deterministic() -> Iterator[None]:
    """Have PyTorch take the algorithms inside that give the same bits each time, where it can."""
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
