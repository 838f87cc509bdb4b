"""A bundle that trains: where its files lie, how it is judged, what its record and README say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from typing import Any, ClassVar

from olive_build.bundle.purpose import Artifacts, Placed, Purpose
from olive_build.bundle.readme import values_text
from olive_build.families.facts import Facts
from olive_build.plan.types import BundlePlan, VariantPlan
from olive_build.proof.verdict import gates_on_quality
from olive_build.recipe.sections.train import training_of
from olive_build.record.codec import decode, encode
from olive_build.record.manifest import (
    CHECKPOINT,
    NOMINAL_CHECKPOINT,
    ONNX,
    ORT,
    TRAINING_GRAPHS,
    Graph,
    Manifest,
    Training,
    Variant,
)
from olive_build.record.proof import Gate, Trained, VariantProof
from olive_build.steps.convert_ort import REQUIRED_OPERATORS
from olive_build.targets import RuntimePackage, load_target
from olive_build.toolchains.provision import version_of
from olive_build.training import planning
from olive_build.training.app_code import training_code
from olive_build.training.compared import compared_figures, compared_settings
from olive_build.training.steps import make, prove
from olive_build.training.verdict import margin_gates, training_figures, training_gates
from olive_build.training.verifying import FOLDER, train_again, training_problems

RUNTIME = "onnxruntime-training-cpu"
UNTRAINED = (
    "that the files train as PyTorch does, which proof.json records of the build; `verify --train` "
    "repeats three steps"
)
# With which client libraries read what a model is, and how its classes are called.
CONFIG = "config.json"
# So many parameters are named one by one.
MOST_NAMED = 3
# Their limits are the recipe's, which a bundle has in the gates alone.
ERROR_RATE, MARGIN = "equal_error_rate", "refused_at_margin"


class ForTraining(Purpose):
    """To go on learning on a device; its one variant is the model before any training."""

    references: ClassVar = (*Purpose.references, make.STORED_STEPS)
    # No newer version of the packages that train is like the one that the artifacts were proved by.
    newer: ClassVar = ""
    verifying: ClassVar = (
        "`olive-build verify <this folder>` reads every byte, runs the inference model again, and "
        "holds the checkpoint's values and the optimizer's settings against PyTorch's; it takes no "
        "training step. With `--train` it repeats three of PyTorch's steps with these files. What "
        "else `proof.json` says, such as twenty steps in a row, resuming and cost, is the build's "
        "own."
    )
    verified: ClassVar = (
        "every byte, the inference model by running it again, the checkpoint's values and the "
        "optimizer's settings"
    )
    repeated: ClassVar = "three of PyTorch's steps were taken again in the training runtime"
    unrepeated: ClassVar = (UNTRAINED,)
    bench: ClassVar = "olive_build.training.verb.bench"
    unproved: ClassVar = ("twenty steps in a row, resuming, cost, and error rates of owners",)

    def is_for_client(self, target: str) -> bool:
        # transformers.js does not train: what it would ask for is not in such a bundle.
        return False

    def placed(self, bundle: BundlePlan) -> dict[str, Placed]:
        """Return the artifacts by role: training_model, training_model_ort, checkpoint, ..."""
        formats = bundle.build.formats
        files = {name: f"{name}.onnx" for name in TRAINING_GRAPHS} if ONNX in formats else {}
        if ORT in formats:
            files |= {f"{name}_ort": f"{name}.ort" for name in TRAINING_GRAPHS}
            files["required_operators"] = REQUIRED_OPERATORS
        files[CHECKPOINT] = CHECKPOINT
        if training_of(bundle.build).train.nominal_checkpoint:
            files[NOMINAL_CHECKPOINT] = NOMINAL_CHECKPOINT
        node = bundle.beside[planning.ARTIFACTS]
        return {role: Placed(f"{FOLDER}/{name}", node, name) for role, name in files.items()}

    def written(self, bundle: BundlePlan) -> dict[str, bytes]:
        """Return config.json with the classes of a head that took the place of the model's own."""
        head = training_of(bundle.build).train.head
        if head is None or CONFIG not in bundle.model.facts.client_files:
            return {}
        text = (Path(bundle.model.folder) / CONFIG).read_text(encoding="utf-8")
        classes = {
            "id2label": {str(number): label for number, label in enumerate(head.labels)},
            "label2id": {label: number for number, label in enumerate(head.labels)},
            "num_labels": head.classes,
        }
        whole = json.dumps({**json.loads(text), **classes}, indent=2, ensure_ascii=False)
        return {CONFIG: f"{whole}\n".encode()}

    def recorded(self, bundle: BundlePlan, artifacts: Artifacts) -> dict[str, Any]:
        """Return what the manifest says of training: files, inputs, loss, optimizer, parameters."""
        section = training_of(bundle.build)
        train, held = section.train, section.personalisation
        described = artifacts[bundle.beside[planning.ARTIFACTS]].json(make.DESCRIPTION)
        optimizer = asdict(train.optimizer)
        if train.optimizer.name == "sgd":
            optimizer = {name: optimizer[name] for name in ("name", "lr")}
        settings = {
            "files": {role: placed.path for role, placed in self.placed(bundle).items()},
            "loss": asdict(train.loss),
            "optimizer": optimizer,
            "batch_size": train.batch_size,
            "epochs": train.epochs,
            "seed": train.seed,
            "trainable_values": sum(prod(item["shape"]) for item in described["trainable"]),
        }
        # How an application decides whose voice it hears, where the recipe says it.
        decision = {"decision": {"margin": held.margin}} if held else {}
        return {"training": decode(Training, encode({**described, **settings, **decision}))}

    def status(self, target: str, provider: str) -> str:
        if load_target(target).builds_here:
            return super().status(target, provider)
        return "trained by onnxruntime-training on Linux, not yet on the device"

    def tools(self) -> dict[str, str]:
        """Return the version of the runtime that made and proved the artifacts."""
        return {RUNTIME: version_of("training", RUNTIME)}

    def packages(self, bundle: BundlePlan, graphs: Mapping[str, Graph]) -> Iterable[RuntimePackage]:
        return load_target(bundle.build.target).training_packages

    def judged(
        self,
        bundle: BundlePlan,
        item: VariantPlan,
        proof: VariantProof,
        artifacts: Artifacts,
        *,
        smoke: bool,
    ) -> VariantProof:
        """Return the proof with what was measured of the artifacts, and a gate for each figure.

        A miniature learns nothing of a voice, so `smoke` judges no rate of errors. The size is that
        of what a device trains with.
        """
        found = measured(bundle, artifacts)
        limit = None if smoke else training_of(bundle.build).personalisation
        gates = [*gates_on_quality(proof)]
        gates += training_gates(found, limit.equal_error_rate if limit else None)
        if limit and limit.errors_at_margin is not None and found.personalised:
            gates += margin_gates(found.personalised, limit.errors_at_margin)
        counted = {
            placed.file
            for role, placed in self.placed(bundle).items()
            if _counts(role, ONNX if ONNX in bundle.build.formats else ORT)
        }
        files = artifacts[bundle.beside[planning.ARTIFACTS]].files
        size = sum(file.size_bytes for file in files if file.path in counted)
        return replace(proof, gates=tuple(gates), training=found, size_bytes=size, fp32_bytes=size)

    def gates_again(
        self, manifest: Manifest, made: Variant, proved: VariantProof
    ) -> Iterable[Gate]:
        found, trained = [*gates_on_quality(proved)], proved.training
        if trained is None:
            return found
        limits = {gate.figure: gate.limit for gate in proved.gates}
        found += training_gates(trained, limits.get(ERROR_RATE))
        if MARGIN in limits and trained.personalised:
            found += margin_gates(trained.personalised, limits[MARGIN])
        return found

    def size(self, manifest: Manifest, made: Variant) -> int:
        """Return the bytes of what a device trains with."""
        training = _training(manifest)
        return sum(
            manifest.sizes.get(path, 0)
            for role, path in training.files.items()
            if _counts(role, training.form)
        )

    def floors(self, manifest: Manifest, variant: str) -> dict[str, float]:
        return {}

    def problems(self, folder: Path, manifest: Manifest) -> list[str]:
        return training_problems(folder, _training(manifest))

    def repeat(self, folder: Path) -> tuple[Gate, ...]:
        return train_again(folder)

    def repeated_as_json(self, gates: Sequence[Gate]) -> dict[str, object] | None:
        steps = "repeated" if gates else "recorded, not run again"
        return {"steps": steps, "gates": encode(gates)}

    def quality(self, proof: VariantProof) -> str:
        """Return how near it is to PyTorch: `losses within 1e-07, gradients 3e-06, EER 2%`."""
        found = _trained(proof)
        near = f"losses within {found.losses_difference:.0e}, gradients {found.gradients.worst:.0e}"
        if found.personalised is None:
            return near
        rate = found.personalised.pooled
        return f"{near}, EER {rate.rate:.1%} ({rate.low:.1%} to {rate.high:.1%})"

    def cost(self, proof: VariantProof) -> str:
        cost = _trained(proof).cost
        # Whatever the target is: it was this machine that trained.
        return f"here {cost.milliseconds_per_step:.3g} ms a step, {cost.peak_bytes / 1e6:.0f} MB"

    def settings(self, manifest: Manifest, other: Manifest) -> dict[str, dict[str, Any]]:
        return {"training": compared_settings(_training(manifest), other.training)}

    def figures(self, proof: VariantProof) -> dict[str, dict[str, Any]]:
        return {"training": compared_figures(_trained(proof))}

    def code(self, manifest: Manifest, facts: Facts) -> list[str]:
        return training_code(manifest, _training(manifest))

    def told(self, manifest: Manifest) -> list[str]:
        """Return the files that a device trains with, and what it trains."""
        training, sizes = _training(manifest), manifest.sizes
        ends = [*training.inputs, training.goal]
        names = ", ".join(f"`{item.name}`" for item in training.trainable[:MOST_NAMED])
        more = len(training.trainable) - MOST_NAMED
        count = training.trainable_values
        learns = f"{names} and {more} more" if more > 0 else names
        return [
            "| artifact | file | kB |",
            "|---|---|---|",
            *(
                f"| {role} | `{path}` | {sizes[path] / 1e3:,.1f} |"
                for role, path in training.files.items()
            ),
            "",
            f"A step takes {values_text(ends)}. It trains {count:,} values: {learns}.",
            "",
        ]


PURPOSE = ForTraining()


def measured(bundle: BundlePlan, artifacts: Artifacts) -> Trained:
    """Return what was measured of the artifacts, out of the steps that prove and measure."""

    def read(node: str, file: str) -> Any:
        return artifacts[bundle.beside[node]].json(file)

    is_tried = planning.PERSONALISED in bundle.beside
    return training_figures(
        read(planning.PROOF, prove.PROOF),
        read(planning.INFERENCE, prove.INFERENCE),
        read(planning.COST, prove.COST),
        read(planning.PERSONALISED, prove.PERSONALISED) if is_tried else None,
    )


def _training(manifest: Manifest) -> Training:
    assert manifest.training is not None
    return manifest.training


def _trained(proof: VariantProof) -> Trained:
    assert proof.training is not None
    return proof.training


def _counts(role: str, form: str) -> bool:
    """Return whether a file counts: the .ort graphs do where they are the only form."""
    return not role.endswith("_ort") or form != ONNX
