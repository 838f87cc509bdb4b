"""What a recipe with `train` is planned to: nodes, what targets share, what is left for smoke."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from olive_build.families.audio_classification.spec import inspect
from olive_build.plan.planner import make_plan
from olive_build.plan.types import Inspected, Model, Plan
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
GOLDEN = Path(__file__).with_name("my-voice.plan.txt")


def plan_of(*overrides: str, smoke: bool = False, trials: bool = True) -> Plan:
    loaded = load_recipe(RECIPES / "my-voice.yaml", overrides=overrides)
    facts = inspect(RECIPES / "my-voice" / "model")
    model = Model("/models/my-voice", "a" * 64, "folder", "", facts)
    found = {"trials": ("/data/trials.npz", "b" * 64)} if trials else {}
    inspected = [Inspected(build, model, found) for build in resolve_all(loaded)]
    return make_plan(inspected, smoke=smoke)


def text_of(plan: Plan) -> str:
    names = {node.id: node.slot for node in plan.graph.nodes}
    names.update({leaf.id: Path(leaf.path).name for leaf in plan.graph.leaves})
    lines = []
    for node in plan.graph.nodes:
        inputs = ", ".join(f"{name}: {names[source]}" for name, source in node.inputs)
        lines.append(f"{node.slot}\n    {node.step!r}\n    {inputs}\n")
    return "".join(lines)


def slots(plan: Plan, kind: str) -> list[str]:
    return [node.slot for node in plan.graph.nodes if type(node.step).__name__ == kind]


def test_the_plan_of_the_shipped_recipe() -> None:
    text = text_of(plan_of())
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
        pytest.fail(f"{GOLDEN.name} was rewritten; read the difference")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_what_is_made_in_pytorch_is_made_once_for_all_targets() -> None:
    plan = plan_of()
    for kind in ("TrainingExport", "TrainingReference", "PrepareTraining"):
        assert len(slots(plan, kind)) == 1
    # Phones have the same; the desktop has no .ort form, and a page cannot set the learning rate.
    assert len(slots(plan, "TrainingArtifacts")) == 3


def test_a_page_steps_with_the_recipes_rate_only_by_another_optimizer_model() -> None:
    at_runtimes_own = plan_of("train.optimizer.lr=0.001")
    assert len(slots(at_runtimes_own, "TrainingArtifacts")) == 2


def test_a_recipe_without_trials_personalises_nobody() -> None:
    assert slots(plan_of(), "Personalise")
    assert not slots(plan_of(trials=False), "Personalise")


def test_every_node_belongs_to_a_bundle() -> None:
    plan = plan_of()
    wanted = {node for bundle in plan.bundles for node in bundle.nodes()}
    proofs = ("TrainingProof", "TrainedInference", "TrainingCost", "Personalise", "MeasureQuality")
    assert {n.id for n in plan.graph.nodes if type(n.step).__name__ in proofs} <= wanted
