"""What a page shows of training: the manifest's section, and what was measured of the artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from olive_build.record.manifest import Graph, Loss, Optimizer, Training
from olive_build.record.proof import Cost, ErrorRate, StepCost, Trained

# Figures that are numbers by themselves.
PROVED = ("losses_difference", "eval_difference", "trained_difference", "inference_difference")


@dataclass(frozen=True)
class NamedRate:
    """An equal error rate, of all owners or of one."""

    name: str
    rate: ErrorRate


@dataclass(frozen=True)
class TrainingView:
    """What learns in a bundle, how, what a step costs and how near its figures are to PyTorch's.

    `stored_values` counts what the inference model holds, None where all of its parameters learn.
    `proved` has figures by name.
    `error_rates` are those of all owners together, then of each; none without trials.
    """

    settings: tuple[tuple[str, str], ...]
    parameters: tuple[str, ...]
    values: int
    stored_values: int | None
    steps: int
    proved: Mapping[str, float]
    least_alike: str
    costs: tuple[Cost | StepCost, ...]
    error_rates: tuple[NamedRate, ...]

    @property
    def cost(self) -> Cost | StepCost:
        """The cost on the fewest threads."""
        return min(self.costs, key=lambda item: item.threads)

    @property
    def error_rate(self) -> NamedRate | None:
        """The rate of all owners together."""
        return next(iter(self.error_rates), None)


def place_of(cost: Cost | StepCost) -> str:
    """Return where a step was timed: `1 thread`."""
    return f"{cost.threads} thread{'s' * (cost.threads > 1)}"


def read_training_view(training: Training, graph: Graph, proved: Trained) -> TrainingView:
    """Return what a page shows of training, `graph` being the inference model's."""
    found = {name: getattr(proved, name) for name in PROVED}
    found |= {
        "gradient_difference": proved.gradients.worst,
        "parameters_difference": proved.parameters.worst,
    }
    return TrainingView(
        settings=tuple(_settings(training).items()),
        parameters=tuple(item.name for item in training.trainable),
        values=training.trainable_values,
        stored_values=graph.stored_values if training.frozen else None,
        steps=proved.steps,
        proved={name: value for name, value in found.items() if value is not None},
        least_alike=proved.gradients.parameter,
        costs=_costs(proved.cost),
        error_rates=_error_rates(proved),
    )


def _settings(training: Training) -> dict[str, str]:
    """Return loss, optimizer and the rest as they are read."""
    fixed, labels = training.fixed_batch, training.labels
    found = {
        "Loss": _with(training.loss),
        "Optimizer": _with(training.optimizer),
        "Batch": f"{fixed}, fixed in the graphs"
        if fixed
        else f"{training.batch_size}; the graphs take any",
        "Epochs": str(training.epochs),
    }
    return found | ({"Classes": f"{len(labels)}: {', '.join(labels)}"} if labels else {})


def _with(settings: Loss | Optimizer) -> str:
    """Return `adamw: lr 0.003, betas 0.9 0.999`; what is not set is left out."""
    given = {item.name: getattr(settings, item.name) for item in fields(settings)}
    name = given.pop("name")
    said = [
        f"{key.replace('_', ' ')} {_text(value)}"
        for key, value in given.items()
        if value not in (None, ())
    ]
    return f"{name}: {', '.join(said)}" if said else str(name)


def _text(value: object) -> str:
    return " ".join(map(_text, value)) if isinstance(value, tuple) else str(value)


def _costs(cost: Cost) -> tuple[Cost | StepCost, ...]:
    # On one core both are the same.
    if cost.all_cores is None or cost.all_cores.threads == cost.threads:
        return (cost,)
    return cost, cost.all_cores


def _error_rates(proved: Trained) -> tuple[NamedRate, ...]:
    found = proved.personalised
    if found is None:
        return ()
    named = [("all owners", found.pooled), *sorted(found.owners.items())]
    return tuple(NamedRate(name, rate) for name, rate in named)
