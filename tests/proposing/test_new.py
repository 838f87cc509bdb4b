"""A model's folder becomes a recipe that validates, plans and builds, without a hand's help."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from new_work import Work

# A family, its task, and what a target with a search or a client of its own is built with.
EXPECTED = {
    "tokens": ("token-classification", "token-classification", "sentences"),
    "boxes": ("object-detection", "object-detection", "pictures"),
    "words": ("causal-lm", "text-generation", "sentences"),
    "minilm": ("sentence-embedding", "sentence-similarity", "sentences"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_folder_becomes_a_recipe(work: Work, name: str) -> None:
    model = work.model(name)
    found = work.new(str(model), "--target", "desktop", "--target", "web")
    family, task, data = EXPECTED[name]
    assert (found["family"], found["task"], found["planned"]) == (family, task, True)
    text = (work.folder / found["recipe"]).read_text("utf-8")
    recipe = yaml.safe_load(text)
    assert recipe["name"] == name and recipe["model"]["family"] == family
    assert recipe["model"]["sources"] == {"path": {"folder": f"../models/{name}"}}
    assert recipe["targets"] == {
        "desktop": {"variants": ["int8", "fp32"]},
        "web": {"variants": ["fp32", "fp16", "q8"]},
    }
    assert recipe["verify"]["data"] == data
    assert f"for {task}: written by olive-build new" in text.splitlines()[0]


def test_a_bundle_is_published_and_verified(work: Work) -> None:
    model = work.model("tokens")
    recipe = work.new(str(model))["recipe"]
    code, out, err = work.run("build", recipe, "--set", "verify.timing=false")
    assert code == 0, out + err
    bundle = work.folder / "outputs" / "tokens" / "desktop"
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    assert {key: item["precision"] for key, item in manifest["variants"].items()} == {
        "int8": "int8",
        "fp32": "fp32",
    }
    code, out, err = work.run("verify", str(bundle))
    assert code == 0, out + err


def test_what_was_assumed_and_what_is_not_known_is_said(work: Work) -> None:
    code, out, _ = work.run("new", str(work.model("tokens")), "-o", "mine.yaml")
    assert code == 0
    said = " ".join(out.split())
    assert "task token-classification: a DistilBertForTokenClassification is for token-" in said
    assert "the licence: nothing in the folder says it" in said
    assert "judged by agreement with the model in its own library" in said
    assert "olive-build build mine.yaml --smoke" in said
    assert max(map(len, out.splitlines())) <= 80
    text = (work.folder / "mine.yaml").read_text("utf-8")
    assert "name: mine\n" in text and "licence: NOASSERTION  # nothing" in text


def test_the_card_says_the_licence_unless_it_is_given(work: Work) -> None:
    model = work.model("tokens")
    (model / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# Model\n")
    found = work.new(str(model))
    assert "licence Apache-2.0: the model's card says apache-2.0" in found["assumed"]
    assert "licence: Apache-2.0  # the" in (work.folder / found["recipe"]).read_text("utf-8")
    work.new(str(model), "--licence", "MIT", "--force")
    assert "licence: MIT\n" in (work.folder / found["recipe"]).read_text("utf-8")


def test_images_of_ones_own_are_asked_for_and_taken(work: Work) -> None:
    model = work.model("images")
    code, err = work.refused(str(model))
    assert code == 2 and "no built-in images" in err and "give --data FILE and" in err
    random = np.random.default_rng(0)
    for name in ("test", "more"):
        shown = random.integers(0, 256, (24, 40, 40, 3), np.uint8)
        np.savez_compressed(work.folder / name, images=shown, labels=random.integers(0, 4, 24))
    found = work.new(str(model), "--data", "test.npz", "--calibration", "more.npz")
    assert found["family"] == "image-classification" and found["planned"]
    recipe = yaml.safe_load((work.folder / found["recipe"]).read_text("utf-8"))
    assert recipe["verify"] == {
        "data": {"file": "../test.npz"},
        "calibration": {"file": "../more.npz"},
    }


def test_another_task_of_the_same_class(work: Work) -> None:
    found = work.new(str(work.model("minilm")), "--task", "feature-extraction")
    assert found["task"] == "feature-extraction"
    assert found["assumed"][0].startswith("task feature-extraction: --task")


def test_sizes_are_fixed_where_a_provider_compiles_for_them(work: Work) -> None:
    found = work.new(str(work.model("minilm")), "--target", "npu")
    recipe = yaml.safe_load((work.folder / found["recipe"]).read_text("utf-8"))
    assert recipe["targets"]["npu"] == {
        "export": {"shapes": {"batch_size": 1, "sequence_length": 128}},
        "variants": ["w8a16"],
    }


def test_a_recipe_is_replaced_only_when_asked(work: Work) -> None:
    model = work.model("tokens")
    path = work.folder / "mine.yaml"
    path.write_text("by hand", encoding="utf-8")
    code, _, err = work.run("new", str(model), "-o", "mine.yaml")
    assert code == 2 and "is there already" in err and "--force" in err
    assert path.read_text("utf-8") == "by hand"
    path.unlink()
    path.symlink_to("nowhere")
    assert work.run("new", str(model), "-o", "mine.yaml")[0] == 2
    assert not Path(work.folder / "nowhere").exists()
