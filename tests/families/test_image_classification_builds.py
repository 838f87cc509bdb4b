"""Whole builds of image classifiers as others save them, held against transformers' pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from olive_build.clients.onnxruntime_client import open_session, run_named

ROOT = Path(__file__).resolve().parents[2]
side = 32
RECIPE = """recipe: 1
name: {name}
description: a classifier as it was saved
model:
  family: image-classification
  licence: Apache-2.0
  source: path
  sources:
    path: {{folder: {name}/model}}
verify:
  timing: false
  data: {{file: {name}/test.npz}}
  calibration: {{file: {name}/calibration.npz}}
targets:
{targets}"""
# name: the classifier's configuration, its processor, and what it is built for
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # Channels in the other order, no normalization, a crop after the shorter side.
    "flipped": (
        {"id2label": {0: "a", 1: "b", 2: "c", 3: "d"}},
        {
            "image_processor_type": "MobileViTImageProcessor",
            "size": {"shortest_edge": 36},
            "crop_size": {"height": side, "width": side},
        },
        "  desktop: {variants: [fp32]}\n  android: {provider: xnnpack, variants: [fp32]}\n",
    ),
    # Several classes at once; pictures of several sizes in the data.
    "several": (
        {"num_labels": 4, "problem_type": "multi_label_classification"},
        {
            "image_processor_type": "ViTImageProcessor",
            "size": {"height": side, "width": side},
            "crop_pct": 0.9,  # of another class
        },
        "  desktop: {variants: [fp32]}\n",
    ),
    # Two classes by default; the processor in the file of version 5 alone; the web prepares.
    "nested": (
        {},
        {"image_processor_type": "DeiTImageProcessorFast", "size": 40, "crop_size": side},
        "  web: {variants: [fp32]}\n",
    ),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, built by one command."""
    root = tmp_path_factory.mktemp("repository")
    (root / "pyproject.toml").touch()
    for name, (config, processor, targets) in CASES.items():
        folder = root / "recipes" / name
        write_model(folder / "model", config, processor, nested=name == "nested")
        write_data(folder, ragged=name == "several")
        recipe = RECIPE.format(name=name, targets=targets)
        (root / "recipes" / f"{name}.yaml").write_text(recipe)
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "build", *CASES],
        cwd=root,
        env={**os.environ, "OLIVE_BUILD_CACHE": str(root / "cache"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def write_model(
    folder: Path, config: dict[str, Any], processor: dict[str, Any], *, nested: bool
) -> None:
    torch.manual_seed(0)
    made = transformers.ViTConfig(
        image_size=side,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        **config,
    )
    model = transformers.ViTForImageClassification(made).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    model.save_pretrained(str(folder))
    name = "processor_config.json" if nested else "preprocessor_config.json"
    (folder / name).write_text(json.dumps({"image_processor": processor} if nested else processor))


def picture(height: int, width: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write_data(folder: Path, *, ragged: bool) -> None:
    for seed, name in enumerate(("test", "calibration")):
        found = [picture(30 + n % 5 * ragged, 41, 100 * seed + n) for n in range(24)]
        labels = np.arange(24) % 2
        if not ragged:
            np.savez(folder / f"{name}.npz", images=np.stack(found), labels=labels)
            continue
        values = np.concatenate([image.ravel() for image in found])
        shapes = [image.shape for image in found]
        np.savez(folder / f"{name}.npz", images=values, shapes=shapes, labels=labels)


def bundle(repository: Path, name: str, target: str) -> Path:
    return repository / "outputs" / name / target


def quality(repository: Path, name: str, target: str, variant: str) -> dict[str, Any]:
    proof = json.loads((bundle(repository, name, target) / "proof.json").read_text())
    found: dict[str, Any] = proof["variants"][variant]["quality"]
    return found


@pytest.mark.parametrize("name", ["flipped", "several"])
def test_a_picture_of_any_size_gives_the_answer_of_transformers_pipeline(
    repository: Path, name: str
) -> None:
    folder = repository / "recipes" / name / "model"
    processor = transformers.AutoImageProcessor.from_pretrained(str(folder), backend="pil")
    model = transformers.AutoModelForImageClassification.from_pretrained(str(folder))
    ask = transformers.ImageClassificationPipeline(model=model, image_processor=processor)
    session = open_session(next(bundle(repository, name, "desktop").rglob("model.onnx")))
    config = transformers.AutoConfig.from_pretrained(str(folder))
    for seed, (height, width) in enumerate(((47, 33), (32, 32), (20, 90), (5, 3))):
        image = picture(height, width, seed)
        wanted = {row["label"]: row["score"] for row in ask(Image.fromarray(image), top_k=4)}
        logits, scores = run_named(session, {"image": image[None]})
        found = {config.id2label[index]: score for index, score in enumerate(scores[0])}
        assert found == pytest.approx(wanted, abs=0.01)
        assert max(found, key=found.__getitem__) == max(wanted, key=wanted.__getitem__)
        assert logits.shape == (1, 4)


def test_the_proof_holds_pixels_and_answers_of_pictures_of_odd_sizes(repository: Path) -> None:
    for name in ("flipped", "several"):
        found = quality(repository, name, "desktop", "fp32")["onnx"]
        assert found["pixels_difference"] <= 1 and found["picture_agreement"] == 1
        assert found["images"] == 32
    mobile = quality(repository, "flipped", "android", "fp32")
    assert mobile["onnx"]["pixels_difference"] <= 1
    assert "pixels_difference" not in mobile["ort"]  # that form cannot be cut


def test_a_file_for_the_web_has_what_its_client_reads(repository: Path) -> None:
    folder = bundle(repository, "nested", "web")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    assert settings == CASES["nested"][1]
    found = quality(repository, "nested", "web", "fp32")["onnx"]
    assert found["logits_error"] <= 1e-4 and "pixels_difference" not in found
    reference = json.loads((folder / "reference" / "reference.json").read_text())
    assert reference["names"] == ["LABEL_0", "LABEL_1"]


def test_verify_runs_the_pictures_again(repository: Path) -> None:
    folders = [str(bundle(repository, name, "desktop")) for name in ("flipped", "several")]
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "verify", *folders],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plan_tells_which_keys_its_class_does_not_take(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "plan", "several"],
        cwd=repository,
        env={**os.environ, "OLIVE_BUILD_CACHE": str(repository / "cache"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    note = "note: preprocessor_config.json has keys that ViTImageProcessor does not take: crop_pct "
    assert note in " ".join(done.stdout.split())


def test_the_python_of_a_readme_runs(repository: Path) -> None:
    folder = bundle(repository, "flipped", "desktop")
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
