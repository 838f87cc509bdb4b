"""What two bundles that train are compared by: what learns and how, and what was measured."""

from __future__ import annotations

from typing import Any

from olive_build.record.codec import encode
from olive_build.record.manifest import Parameter, Training
from olive_build.record.proof import Cost, StepCost, Trained

# Beside those in words, of each number of threads, which differ with every measurement.
COSTS = ("milliseconds_per_step", "peak_bytes")
# A list of losses and of files says nothing that the differences and digests do not.
LEFT_OUT = ("losses", "loads", "compared", "cost", "personalised", "gradients", "parameters")


def compared_settings(training: Training, other: Training | None) -> dict[str, Any]:
    """Return what a manifest says of training as it is compared with another's.

    `learns` has the parameters, by name and shape, that learn in this one alone; of those that stay
    as they are it is told how many there are.
    """
    told = encode(training)
    found = {key: told[key] for key in told if key not in ("trainable", "frozen")}
    others = {_shown(item) for item in other.trainable} if other else set()
    alone = [name for item in training.trainable if (name := _shown(item)) not in others]
    return {
        **found,
        **({"learns": alone} if alone else {}),
        "stay as they are": len(training.frozen),
    }


def _shown(item: Parameter) -> str:
    return f"{item.name} {list(item.shape)}"


def compared_figures(trained: Trained) -> dict[str, Any]:
    """Return the figures of one variant's training as they are compared."""
    found = {key: value for key, value in encode(trained).items() if key not in LEFT_OUT}
    found["gradient_difference"] = trained.gradients.worst
    found["parameters_difference"] = trained.parameters.worst
    found["cost"] = _costs(trained.cost)
    if personalised := trained.personalised:
        rates = {"all owners": personalised.pooled, **personalised.owners}
        found["equal_error_rate"] = {name: item.rate for name, item in rates.items()}
    return found


def _costs(cost: Cost | StepCost) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(cost, name) for name in COSTS}
    if isinstance(cost, Cost) and cost.all_cores:
        found["all_cores"] = _costs(cost.all_cores)
    return found
