"""What the manifest of a training bundle says of training, read and checked (its `training`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olive_build.errors import BundleError
from olive_build.families.registry import FAMILIES

SECTION = "training"
CROSS_ENTROPY = "cross-entropy"
MODELS = ("training_model", "eval_model", "optimizer_model")


@dataclass(frozen=True)
class GraphInput:
    """An input of the training graphs; an axis is a number, or a name where it is free.

    `family_name` is what the model's family calls it, where the recipe renamed it.
    """

    name: str
    type: str
    axes: tuple[int | str, ...]
    family_name: str

    @staticmethod
    def read(found: Mapping[str, Any]) -> GraphInput:
        name = str(found["name"])
        of_family = str(found.get("family_name", name))
        return GraphInput(name, str(found["type"]), tuple(found["axes"]), of_family)


@dataclass(frozen=True)
class TrainingManifest:
    """A training bundle as its manifest tells of it.

    `goal` is the input that the loss compares with, `outputs` those of the inference model, and
    `loss_output` the one that the loss is taken of. `labels` name the classes, empty where the loss
    knows none. `margin` is by how much the second's logit is above the first's where an application
    takes it, None where the larger one decides. `data` says how examples are read, for the family.
    `files` has the bundle's paths by role: training_model, eval_model, optimizer_model, each also
    as .ort (training_model_ort), checkpoint, nominal_checkpoint, inference.
    """

    recipe: str
    target: str
    family: str
    smoke: bool
    inputs: tuple[GraphInput, ...]
    goal: GraphInput
    outputs: tuple[str, ...]
    loss_output: str
    labels: tuple[str, ...]
    margin: float | None
    trainable: Mapping[str, tuple[int, ...]]
    data: Mapping[str, Any]
    loss: str
    class_weights: tuple[float, ...]
    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    seed: int
    files: Mapping[str, str]

    @property
    def form(self) -> str:
        """The form in which the training graphs are there: onnx, or ort alone."""
        return "onnx" if MODELS[0] in self.files else "ort"

    @property
    def graphs(self) -> dict[str, str]:
        """The paths of the three training graphs, in their form, by role."""
        end = "" if self.form == "onnx" else "_ort"
        return {role: self.files[f"{role}{end}"] for role in MODELS}

    @property
    def fixed_batch(self) -> int | None:
        """How many examples a step takes, where the graphs leave no choice."""
        first = self.inputs[0].axes[0]
        return first if isinstance(first, int) else None

    @property
    def first_batch(self) -> int:
        """How many examples a step takes where nobody says otherwise."""
        return self.fixed_batch or self.batch_size

    @property
    def has_classes(self) -> bool:
        """Whether a target is the number of a class."""
        return self.loss == CROSS_ENTROPY


def is_training(manifest: Mapping[str, Any]) -> bool:
    """Say whether a manifest is that of a training bundle."""
    return isinstance(manifest.get(SECTION), Mapping)


def read_training(manifest: Mapping[str, Any], where: str = "manifest.json") -> TrainingManifest:
    """Return the section of a training bundle's manifest. Raises BundleError for a damaged one."""
    try:
        return _read(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration) as error:
        raise BundleError(
            "the manifest's section on training is damaged",
            where=where,
            why=f"{type(error).__name__}: {error}",
            hint="build or download the bundle again",
        ) from error


def _read(manifest: Mapping[str, Any]) -> TrainingManifest:
    section = manifest[SECTION]
    loss, optimizer = section["loss"], section["optimizer"]
    outputs = tuple(map(str, section["outputs"]))
    inference = next(iter(manifest["variants"].values()))["files"]
    found = TrainingManifest(
        recipe=str(manifest["recipe"]),
        target=str(manifest["target"]),
        family=str(manifest["model"]["family"]),
        smoke=bool(manifest["smoke"]),
        inputs=tuple(map(GraphInput.read, section["inputs"])),
        goal=GraphInput.read(section["target"]),
        outputs=outputs,
        loss_output=str(loss["output"] or outputs[-1]),
        labels=tuple(map(str, section["labels"])),
        margin=float(section["decision"]["margin"]) if "decision" in section else None,
        trainable={str(item["name"]): tuple(item["shape"]) for item in section["trainable"]},
        data=dict(section["data"]),
        loss=str(loss["name"]),
        class_weights=tuple(map(float, loss["class_weights"])),
        optimizer=str(optimizer["name"]),
        learning_rate=float(optimizer["lr"]),
        batch_size=int(section["batch_size"]),
        epochs=int(section["epochs"]),
        seed=int(section["seed"]),
        files={
            **{str(role): str(path) for role, path in section["files"].items()},
            "inference": str(inference.get("onnx") or next(iter(inference.values()))),
        },
    )
    # What is asked of it later must be there now.
    if not (found.graphs and found.files["checkpoint"] and found.inputs and found.outputs):
        raise ValueError("it names no files, inputs or outputs")
    if found.family not in FAMILIES or not FAMILIES[found.family].trains:
        raise ValueError(f"there is no family '{found.family}' that trains")
    if found.first_batch < 1 or found.epochs < 1:
        raise ValueError(f"it trains {found.epochs} epochs in batches of {found.first_batch}")
    return found
