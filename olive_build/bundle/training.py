"""The training artifacts of a bundle: where files lie, what the manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from olive_build.bundle.layout import Placed
from olive_build.engine.store import Artifact
from olive_build.plan.types import BundlePlan
from olive_build.proof.training_verdict import training_figures
from olive_build.recipe.sections.train import personalisation_of, train_of
from olive_build.steps.convert_ort import REQUIRED_OPERATORS
from olive_build.steps.personalise import PERSONALISED
from olive_build.steps.training_cost import TRAINING_COST
from olive_build.steps.training_proof import TRAINING_PROOF
from olive_build.training.settings import Train

FOLDER = "training"
TRAINING, TRAINED_INFERENCE = "training.json", "trained_inference.json"
MODELS = ("training_model", "eval_model", "optimizer_model")
CHECKPOINT, NOMINAL_CHECKPOINT = "checkpoint", "nominal_checkpoint"


def training_files(bundle: BundlePlan) -> dict[str, Placed]:
    """Return the artifacts by role: training_model, training_model_ort, checkpoint and so on."""
    training, train = bundle.training, train_of(bundle.build)
    if training is None or train is None:
        return {}
    formats = bundle.build.formats
    files = {name: f"{name}.onnx" for name in MODELS} if "onnx" in formats else {}
    if "ort" in formats:
        files |= {f"{name}_ort": f"{name}.ort" for name in MODELS}
        files["required_operators"] = REQUIRED_OPERATORS
    files[CHECKPOINT] = CHECKPOINT
    if train.nominal_checkpoint:
        files[NOMINAL_CHECKPOINT] = NOMINAL_CHECKPOINT
    return {
        role: Placed(f"{FOLDER}/{name}", training.artifacts, name) for role, name in files.items()
    }


def training_section(bundle: BundlePlan, artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """Return what the manifest says of training: files, inputs, loss, optimizer, parameters."""
    training, train = bundle.training, train_of(bundle.build)
    assert training is not None and train is not None
    described = artifacts[training.artifacts].json(TRAINING)
    sizes = [_count(item["shape"]) for item in described["trainable"]]
    return {
        **described,
        "files": {role: placed.path for role, placed in training_files(bundle).items()},
        "loss": asdict(train.loss),
        "optimizer": _optimizer(train),
        "batch_size": train.batch_size,
        "epochs": train.epochs,
        "seed": train.seed,
        "trainable_values": sum(sizes),
        **_decision(bundle),
    }


def _decision(bundle: BundlePlan) -> dict[str, Any]:
    """Return how an application decides whose voice it hears, where the recipe says it."""
    held = personalisation_of(bundle.build)
    return {"decision": {"margin": held.margin}} if held else {}


def _optimizer(train: Train) -> dict[str, Any]:
    settings = asdict(train.optimizer)
    return settings if train.optimizer.name == "adamw" else {k: settings[k] for k in ("name", "lr")}


def _count(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def measured(bundle: BundlePlan, artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """Return what was measured of the artifacts, for the proof."""
    training = bundle.training
    assert training is not None
    personalised = training.personalised
    return training_figures(
        artifacts[training.proof].json(TRAINING_PROOF),
        artifacts[training.inference].json(TRAINED_INFERENCE),
        artifacts[training.cost].json(TRAINING_COST),
        artifacts[personalised].json(PERSONALISED) if personalised else None,
    )
