"""The first steps of training as PyTorch takes them: what the artifacts are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from olive_build.errors import StepError
from olive_build.proof.logits_reference import ROWS, LogitsReference
from olive_build.training.settings import Optimizer, Train
from olive_build.training.torch_loss import loss_function, seeded_targets
from olive_build.training.torch_model import Arrays, Trainable

# More would take longer, and show nothing more.
LARGEST_BATCH = 8
# A head or an adapter that begins at zero hides what is below it from the first gradient.
GRADIENT_STEPS = 2
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


def take_steps(side: Trainable, train: Train, steps: int) -> Arrays:
    """Train `side` for so many steps; return what steps.npz holds.

    Each step has a batch of its own: seeded inputs and targets. The model stays in eval mode, so
    that nothing is drawn; with all dropout at zero, that is how the graph computes too. Raises
    StepError where a loss is no finite number.
    """
    loss_of = loss_function(train.loss, side.outputs)
    parameters = side.parameters()
    optimizer = torch_optimizer(train.optimizer, list(parameters.values()))
    batch = side.batch or min(train.batch_size, LARGEST_BATCH)
    batches = [side.examples(batch, step) for step in range(steps)]
    targets = [seeded_targets(train.loss, batch, side.outputs, step) for step in range(steps)]
    found: Arrays = _prefixed("initial", parameters)
    losses = []
    with _deterministic():
        for step in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(side.run(batches[step]), torch.from_numpy(targets[step]))
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()))
            _check_finite(losses, train)
            if step < GRADIENT_STEPS:
                gradients = {n: p.grad for n, p in parameters.items()}
                found |= _prefixed(f"gradient.{step}", gradients)
            optimizer.step()
        unseen = side.examples(batch, steps)
        with torch.no_grad():
            logits = side.run(unseen).numpy()
    return {
        **found,
        **_prefixed("final", parameters),
        **_inputs(side, batches, unseen),
        "target": np.stack(targets),
        "losses": np.array(losses, np.float64),
        "eval_logits": logits,
    }


def _inputs(side: Trainable, batches: list[Arrays], unseen: Arrays) -> Arrays:
    found: Arrays = {}
    for name in side.inputs:
        found[f"input.{side.names[name]}"] = np.stack([given[name] for given in batches])
        found[f"eval_inputs.{side.names[name]}"] = unseen[name]
    return found


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
def _deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
