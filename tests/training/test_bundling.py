"""What lies beside the graphs of a training bundle: config.json has the classes to learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from olive_build.bundle.layout import side_files
from olive_build.bundle.purpose import Placed
from olive_build.families.audio_classification.spec import inspect
from olive_build.plan.planner import make_plan
from olive_build.plan.types import BundlePlan, Inspected, Model
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
MODEL = RECIPES / "my-voice" / "model"


def bundle_of(*overrides: str) -> BundlePlan:
    loaded = load_recipe(RECIPES / "my-voice.yaml", overrides=overrides)
    model = Model(str(MODEL), "a" * 64, "folder", "", inspect(MODEL))
    trials = {"trials": ("/data/trials.npz", "b" * 64)}
    inspected = [Inspected(build, model, trials) for build in resolve_all(loaded)]
    return make_plan(inspected, smoke=False).bundles[0]


def config_of(bundle: BundlePlan) -> Placed:
    (found,) = [placed for placed in side_files(bundle) if placed.path == "config.json"]
    return found


def test_the_configuration_names_the_new_heads_classes(tmp_path: Path) -> None:
    placed = config_of(bundle_of())
    assert placed.content is not None
    before = json.loads((MODEL / "config.json").read_text("utf-8"))
    after: dict[str, Any] = json.loads(placed.content)
    assert len(before["id2label"]) > 2, "the case would prove nothing"
    changed = {"id2label", "label2id", "num_labels"}
    assert {k: v for k, v in after.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    (tmp_path / "config.json").write_bytes(placed.content)
    read = transformers.AutoConfig.from_pretrained(tmp_path)
    assert read.id2label == {0: "other", 1: "owner"}
    assert read.label2id == {"other": 0, "owner": 1}
    assert (read.num_labels, read.architectures) == (2, before["architectures"])


def test_without_a_new_head_it_is_the_models_own() -> None:
    head = ("train.head=null", "train.requires_grad=[classifier.*]", "train.personalisation=null")
    assert config_of(bundle_of(*head)) == Placed("config.json", None, "config.json")


def test_the_other_files_stay_the_models_own() -> None:
    placed = {item.path: item for item in side_files(bundle_of())}
    own = placed["preprocessor_config.json"]
    assert own == Placed(own.path, None, own.path)
    assert len(placed) == len(side_files(bundle_of()))


@pytest.mark.parametrize(
    ("given", "names"), [("[grün, nein]", ["grün", "nein"]), ("null", ["class-0", "class-1"])]
)
def test_labels_are_written_as_they_are(given: str, names: list[str]) -> None:
    content = config_of(bundle_of(f"train.head.labels={given}")).content or b""
    assert list(json.loads(content)["id2label"].values()) == names
    assert content.endswith(b"}\n")
