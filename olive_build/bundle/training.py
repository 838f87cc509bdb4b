"""The training artifacts of a bundle: where files lie, what the manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import prod

from olive_build.bundle.layout import Placed
from olive_build.engine.store import Artifact
from olive_build.plan.types import BundlePlan
from olive_build.proof.training_verdict import training_figures
from olive_build.recipe.sections.train import personalisation_of, train_of
from olive_build.record.codec import decode, encode
from olive_build.record.manifest import (
    CHECKPOINT,
    NOMINAL_CHECKPOINT,
    TRAINING_GRAPHS,
    Training,
)
from olive_build.record.proof import Trained
from olive_build.steps.convert_ort import REQUIRED_OPERATORS
from olive_build.steps.personalise import PERSONALISED
from olive_build.steps.training_cost import TRAINING_COST
from olive_build.steps.training_proof import TRAINING_PROOF

FOLDER = "training"
TRAINING, TRAINED_INFERENCE = "training.json", "trained_inference.json"


def training_files(bundle: BundlePlan) -> dict[str, Placed]:
    """Return the artifacts by role: training_model, training_model_ort, checkpoint and so on."""
    training, train = bundle.training, train_of(bundle.build)
    if training is None or train is None:
        return {}
    formats = bundle.build.formats
    files = {name: f"{name}.onnx" for name in TRAINING_GRAPHS} if "onnx" in formats else {}
    if "ort" in formats:
        files |= {f"{name}_ort": f"{name}.ort" for name in TRAINING_GRAPHS}
        files["required_operators"] = REQUIRED_OPERATORS
    files[CHECKPOINT] = CHECKPOINT
    if train.nominal_checkpoint:
        files[NOMINAL_CHECKPOINT] = NOMINAL_CHECKPOINT
    return {
        role: Placed(f"{FOLDER}/{name}", training.artifacts, name) for role, name in files.items()
    }


def training_section(bundle: BundlePlan, artifacts: Mapping[str, Artifact]) -> Training:
    """Return what the manifest says of training: files, inputs, loss, optimizer, parameters."""
    training, train = bundle.training, train_of(bundle.build)
    held = personalisation_of(bundle.build)
    assert training is not None and train is not None
    described = artifacts[training.artifacts].json(TRAINING)
    optimizer = asdict(train.optimizer)
    if train.optimizer.name == "sgd":
        optimizer = {name: optimizer[name] for name in ("name", "lr")}
    settings = {
        "files": {role: placed.path for role, placed in training_files(bundle).items()},
        "loss": asdict(train.loss),
        "optimizer": optimizer,
        "batch_size": train.batch_size,
        "epochs": train.epochs,
        "seed": train.seed,
        "trainable_values": sum(prod(item["shape"]) for item in described["trainable"]),
    }
    # How an application decides whose voice it hears, where the recipe says it.
    decision = {"decision": {"margin": held.margin}} if held else {}
    return decode(Training, encode({**described, **settings, **decision}))


def measured(bundle: BundlePlan, artifacts: Mapping[str, Artifact]) -> Trained:
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
