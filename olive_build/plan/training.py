"""The steps of a training bundle: artifacts that a device learns with, and their proof.

source ─┬─ export ─ prepare ─ artifacts ─┬─ proof ─ trained inference
        └─ reference ────────────────────┼─ cost
                                         └─ personalise
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from olive_build.engine.step import Step
from olive_build.families import module_of
from olive_build.recipe.build import TargetBuild
from olive_build.recipe.sections.train import personalisation_of
from olive_build.steps.personalise import Personalise
from olive_build.steps.prepare_training import PrepareTraining
from olive_build.steps.trained_inference import TrainedInference
from olive_build.steps.training_artifacts import TrainingArtifacts
from olive_build.steps.training_cost import TrainingCost
from olive_build.steps.training_export import TrainingExport
from olive_build.steps.training_proof import TrainingProof
from olive_build.steps.training_reference import TrainingReference
from olive_build.targets import load_target
from olive_build.training.settings import RUNTIME_RATE, Train

Add = Callable[[Step, Mapping[str, str], str], str]


@dataclass(frozen=True)
class TrainingNodes:
    """The nodes that a training bundle is made of and proved by.

    `personalised` is there where the recipe has trials.
    """

    artifacts: str
    reference: str
    proof: str
    inference: str
    cost: str
    personalised: str | None

    def nodes(self) -> set[str]:
        """Return every one of them."""
        found = {self.artifacts, self.reference, self.proof, self.inference, self.cost}
        return found | ({self.personalised} if self.personalised else set())


def plan_training(
    build: TargetBuild,
    train: Train,
    source: str,
    trials: str | None,
    data: str,
    *,
    smoke: bool,
    add: Add,
) -> TrainingNodes:
    """Add the steps of one target; `add` takes a step, its inputs and a stage.

    `source` and `trials` are nodes of the model's folder and of the file of trials, `data` is what
    examples are read as. With `smoke`,
    one owner is personalised for one epoch, since a miniature learns nothing of a voice.
    """
    side = module_of(build.family, "training")
    export = TrainingExport(side, build.opset, build.shapes, train, data)
    exported = add(export, {"source": source}, "training-export")
    reference = add(TrainingReference(side, build.shapes, train), {"source": source}, "reference")
    prepared = add(PrepareTraining(), {"model": exported}, "prepare-training")
    made_of = TrainingArtifacts(train, build.formats, _client_rate(build, train))
    artifacts = add(made_of, {"model": prepared}, "artifacts")
    made = {"artifacts": artifacts}
    proving = TrainingProof(train, build.formats)
    proof = add(proving, {**made, "reference": reference}, "training-proof")
    personalisation = personalisation_of(build)
    margin = personalisation.margin if personalisation else 0.0
    personalise = Personalise(
        module_of(build.family, "trials"), train, 1 if smoke else None, margin
    )
    return TrainingNodes(
        artifacts=artifacts,
        reference=reference,
        proof=proof,
        inference=add(TrainedInference(), {"proof": proof}, "trained-inference"),
        cost=add(TrainingCost(train), {**made, "reference": reference}, "training-cost"),
        personalised=add(personalise, {**made, "trials": trials}, "personalise")
        if trials
        else None,
    )


def _client_rate(build: TargetBuild, train: Train) -> float | None:
    """Return the learning rate of a client that can set none, where the recipe has another.

    onnxruntime-web's training API has no call for it: js/web/lib/wasm/session-handler-training.ts
    of microsoft/onnxruntime 1.19.
    """
    fixed = load_target(build.target).training_language == "javascript"
    return RUNTIME_RATE if fixed and train.optimizer.lr != RUNTIME_RATE else None
