"""What is planned of a recipe that trains: the artifacts that a device learns with, their proof.

source ─┬─ export ─ prepare ─ artifacts ─┬─ proof ─ trained inference
        └─ reference ────────────────────┼─ cost
                                         └─ personalise
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step
from olive_build.families import module_of, own_module
from olive_build.families.facts import SINGLE, Facts
from olive_build.plan.planner import TargetPlanner
from olive_build.plan.types import Samples
from olive_build.recipe.build import TargetBuild, Variant
from olive_build.recipe.sections.train import training_of
from olive_build.steps.source import LoadCheck
from olive_build.targets import Target, load_target
from olive_build.training.settings import RUNTIME_RATE, Train
from olive_build.training.steps.make import (
    CheckTraining,
    TrainingArtifacts,
    TrainingExport,
    TrainingReference,
)
from olive_build.training.steps.prepare import PrepareTraining
from olive_build.training.steps.prove import (
    Personalise,
    TrainedInference,
    TrainingCost,
    TrainingProof,
)

# What a bundle that trains is made of and proved by, beside its variant.
ARTIFACTS, PROOF, INFERENCE, COST = "artifacts", "proof", "inference", "cost"
PERSONALISED = "personalised"


class Planner(TargetPlanner):
    """Plans a bundle that trains; its one variant is the model before any training."""

    formats = ("onnx",)

    @classmethod
    def language(cls, target: Target) -> str:
        return target.training_language

    @classmethod
    def facts(cls, build: TargetBuild, folder: Path) -> Facts:
        found: Facts = rooms.look_up(own_module(build.family, "spec")).inspect(folder)
        return found

    @classmethod
    def miniature(cls, build: TargetBuild) -> tuple[str, bool]:
        return own_module(build.family, "miniature"), False

    @classmethod
    def load_check(cls, build: TargetBuild) -> LoadCheck:
        head = training_of(build).train.head
        return LoadCheck(_side(build), head.replace if head else None)

    @classmethod
    def model_checks(cls, build: TargetBuild) -> Mapping[str, Step]:
        step = CheckTraining(_side(build), build.shapes, training_of(build).train)
        return {"check-training": step}

    @classmethod
    def samples(cls, build: TargetBuild) -> Iterator[Samples]:
        if held := training_of(build).personalisation:
            yield Samples("trials", "the trials", held.trials)

    @classmethod
    def reference_step(cls, build: TargetBuild) -> tuple[Step, tuple[str, ...]]:
        return TrainingReference(_side(build), build.shapes, training_of(build).train), ()

    def beside(self) -> dict[str, str]:
        build, train, made = self.build, self._train, {ARTIFACTS: self._artifacts()}
        against = {**made, "reference": self.reference}
        proof = self._add(TrainingProof(train, build.formats), against, "training-proof")
        found = {
            PROOF: proof,
            INFERENCE: self._add(TrainedInference(), {"proof": proof}, "trained-inference"),
            COST: self._add(TrainingCost(train), against, "training-cost"),
        }
        if "trials" in self.leaves:
            # With `smoke` one owner for one epoch: a miniature learns nothing of a voice.
            epochs = 1 if self.smoke else None
            held = training_of(build).personalisation
            margin = held.margin if held else 0.0
            step = Personalise(module_of(build.family, "trials"), train, epochs, margin)
            inputs = {**made, "trials": self.leaves["trials"]}
            found[PERSONALISED] = self._add(step, inputs, "personalise")
        return {**made, **found}

    def graphs_of(self, variant: Variant | None) -> dict[str, str]:
        return {SINGLE: self._artifacts()}

    def _artifacts(self) -> str:
        build, train = self.build, self._train
        data = json.dumps(self.model.facts.training_data(dict(build.shapes)), sort_keys=True)
        export = TrainingExport(_side(build), build.opset, build.shapes, train, data)
        exported = self._add(export, {"source": self.source}, "training-export")
        prepared = self._add(PrepareTraining(), {"model": exported}, "prepare-training")
        step = TrainingArtifacts(train, build.formats, _client_rate(build, train))
        return self._add(step, {"model": prepared}, "artifacts")

    def add(
        self, step: Step, inputs: Mapping[str, str], variant: Variant | None, stage: str
    ) -> str:
        return self._add(step, inputs, stage)

    def _add(self, step: Step, inputs: Mapping[str, str], stage: str) -> str:
        recipe, target = self.build.recipe, self.build.target
        own = f"{recipe}/{target}/{stage}"
        return self.graph.add(step, inputs, f"{recipe}/{stage}", otherwise=own)

    @property
    def _train(self) -> Train:
        return training_of(self.build).train


def _side(build: TargetBuild) -> str:
    return module_of(build.family, "training_side")


def _client_rate(build: TargetBuild, train: Train) -> float | None:
    """Return the learning rate of a client that can set none, where the recipe has another.

    onnxruntime-web's training API has no call for it: js/web/lib/wasm/session-handler-training.ts
    of microsoft/onnxruntime 1.19.
    """
    fixed = load_target(build.target).training_language == "javascript"
    return RUNTIME_RATE if fixed and train.optimizer.lr != RUNTIME_RATE else None
