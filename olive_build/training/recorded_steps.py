"""Single steps from the states that PyTorch recorded: what a device's files make of each.

Two trainings that are alike to the last bit but one part after some steps: a ReLU that rounds to
the other side of zero has another gradient, and AdamW makes a whole step of it. From one state, a
step differs by rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from olive_build.training.checkpoint_file import put_state
from olive_build.training.differences import (
    faint,
    gradients_difference,
    losses_difference,
    parameters_difference,
)
from olive_build.training.runtime import free_memory
from olive_build.training.session import Array, TrainingSession
from olive_build.training.steps_file import RecordedSteps

Open = Callable[[Path | None], TrainingSession]


@dataclass(frozen=True)
class Repeated:
    """What the compared steps gave: their losses, and the worst of them by figure.

    `loss` and `outputs` are of the evaluation model with PyTorch's last parameters.
    """

    losses: list[float]
    losses_difference: float
    gradients: dict[str, Any]
    parameters: dict[str, Any]
    loss: float
    outputs: list[Array]


def fill_states(states: Mapping[int, Path], recorded: RecordedSteps) -> None:
    """Put what PyTorch recorded into checkpoints that were saved after so many steps."""
    for step, path in states.items():
        put_state(path, recorded.end if step == len(recorded) else recorded.state(step))


def repeat_steps(
    begin: Open,
    states: Mapping[int, Path],
    recorded: RecordedSteps,
    export: Callable[[TrainingSession], None] | None = None,
) -> Repeated:
    """Take each compared step from its state; the first begins from the shipped checkpoint.

    `begin` opens the artifacts with a checkpoint, None for their own. `states` has the checkpoints
    by the number of steps before them, and one of the end, from which the model is evaluated and
    given to `export`.
    """
    losses, gradients, parameters = [], [], []
    for step in recorded.compared:
        session = begin(states.get(step))
        loss, found = session.loss_and_gradients(*recorded.batch(step))
        losses.append(loss)
        gradient = partial(recorded.gradient, step)
        gradients.append(gradients_difference(found, gradient, recorded.trained))
        session.step(*recorded.batch(step))
        parameters.append(_moved(session, recorded, step))
        close(session)
    session = begin(states[len(recorded)])
    loss, outputs = session.evaluate(*recorded.evaluation())
    if export:
        export(session)
    close(session)
    expected = [recorded.losses[step] for step in recorded.compared]
    return Repeated(
        losses,
        losses_difference(losses, expected),
        worst(gradients),
        worst(parameters),
        loss,
        outputs,
    )


def worst(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the entry of the largest difference."""
    return max(found, key=lambda item: float(item["worst"]))


def close(session: TrainingSession) -> None:
    """Give the session's memory back to the system."""
    session.close()
    free_memory()


def _moved(session: TrainingSession, recorded: RecordedSteps, step: int) -> dict[str, Any]:
    """Compare the parameters after a step with PyTorch's; a faint gradient moves them by chance."""
    small = set(faint(recorded.gradient, recorded.trained, [step]))
    return parameters_difference(
        session.parameters(trainable=True),
        partial(recorded.before, step),
        partial(recorded.after, step),
        [name for name in recorded.trained if name not in small],
        1,
    )
