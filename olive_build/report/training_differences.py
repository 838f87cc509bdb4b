"""What is compared of two training bundles: settings of the manifest, figures of the proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SECTION = "training"
# Beside those in words, of each number of threads, which differ with every measurement.
COSTS = ("milliseconds_per_step", "peak_bytes")
# A list of losses and of files says nothing that the differences and digests do not.
LEFT_OUT = ("losses", "loads", "compared", "cost", "personalised", "gradients", "parameters")
WORST = {"gradient_difference": "gradients", "parameters_difference": "parameters"}


def settings_of_training(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what two manifests say of training as it is compared; empty where one does not train.

    `learns` has the parameters, by name and shape, that learn in one of both alone; of those that
    stay as they are it is told how many there are.
    """
    sections = [manifest.get(SECTION) or {} for manifest in (old, new)]
    learn = [
        [f"{item['name']} {item['shape']}" for item in section.get("trainable", ())]
        for section in sections
    ]
    found = [
        {key: value for key, value in section.items() if key not in ("trainable", "frozen")}
        for section in sections
    ]
    for number, section in enumerate(sections):
        others = set(learn[1 - number])
        alone = [name for name in learn[number] if name not in others]
        if alone:
            found[number]["learns"] = alone
        if section:
            found[number]["stay as they are"] = len(section["frozen"])
    return found[0], found[1]


def figures_of_training(proved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of one variant of proof.json as they are compared."""
    training = proved.get(SECTION)
    if training is None:
        return {}
    found = {key: value for key, value in training.items() if key not in LEFT_OUT}
    found |= {name: training[part]["worst"] for name, part in WORST.items() if part in training}
    found["cost"] = _costs(training["cost"])
    if "personalised" in training:
        rates = {"all owners": training["personalised"]["pooled"]}
        rates |= training["personalised"]["owners"]
        found["equal_error_rate"] = {name: item["rate"] for name, item in rates.items()}
    return found


def _costs(cost: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: cost[name] for name in COSTS}
    return found | ({"all_cores": _costs(cost["all_cores"])} if "all_cores" in cost else {})
