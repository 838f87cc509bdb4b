"""The shipped image classifier, from the recipe to the files that devices load."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.engine.trees import sha256_of
from olive_build.families.image_classification.spec import inspect
from olive_build.families.image_classification.torch_side import load, logits, pixels_of
from olive_build.proof.reference import read_reference
from olive_build.proof.references.classification import ClassificationReference

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "recipes" / "characters"
TARGETS = ("android", "desktop", "ios", "web", "windows")


def call(cache: Path, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "olive_build", *words],
        cwd=cwd,
        env={**os.environ, "OLIVE_BUILD_CACHE": str(cache), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def bundles(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All targets, built cold; latency is the benchmark's business."""
    outputs = tmp_path_factory.mktemp("outputs")
    done = call(
        cache, "build", "characters", "--set", "verify.timing=false", "--outputs", str(outputs)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return outputs / "characters"


@pytest.fixture(scope="module")
def reference(bundles: Path) -> ClassificationReference:
    found = read_reference(bundles / "desktop" / "reference")
    assert isinstance(found, ClassificationReference)
    return found


def figures(bundles: Path, target: str, variant: str) -> dict[str, Any]:
    proof = json.loads((bundles / target / "proof.json").read_text())
    found: dict[str, Any] = proof["variants"][variant]
    return found


def model_of(bundles: Path, target: str, variant: str) -> Path:
    manifest = json.loads((bundles / target / "manifest.json").read_text())
    return bundles / target / manifest["variants"][variant]["files"]["onnx"]


def test_the_model_is_worth_proving_on_and_not_perfect() -> None:
    facts, data = inspect(FOLDER / "model"), np.load(FOLDER / "test.npz")
    assert data["images"].shape[1:] == (facts.height, facts.width, facts.channels) == (32, 32, 1)
    assert len(data["images"]) >= 1000
    assert set(data["labels"]) == set(range(len(facts.labels)))
    model = load(FOLDER / "model")
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert weights >= 2_000_000
    pixels = pixels_of(facts).prepare(data["images"])
    right = (logits(model, pixels).argmax(1) == data["labels"]).mean()
    assert 0.95 <= right <= 0.99


def test_no_image_is_in_both_sets() -> None:
    test, calibration = (np.load(FOLDER / f"{name}.npz") for name in ("test", "calibration"))
    assert len(calibration["images"]) >= 256
    there = {image.tobytes() for image in test["images"]}
    assert len(there) == len(test["images"])
    assert not there & {image.tobytes() for image in calibration["images"]}


def test_every_target_is_published_and_every_variant_passed(bundles: Path) -> None:
    index = json.loads((bundles.parent / "index.json").read_text())
    assert [item["target"] for item in index["bundles"]] == sorted(TARGETS)
    for item in index["bundles"]:
        assert {v["verdict"] for v in item["variants"].values()} == {"passed"}


def test_the_fp32_file_is_as_right_as_pytorch_on_every_test_image(
    bundles: Path, reference: ClassificationReference
) -> None:
    for quality in figures(bundles, "desktop", "fp32")["quality"].values():
        assert quality["images"] == len(reference.logits) > len(reference.labels) >= 1000
        for way in (quality["single"], quality["batched"]):
            assert (way["accuracy_loss"], way["top1_agreement"]) == (0, 1)
            assert way["picture_agreement"] == 1 and way["pixels_difference"] <= 1
            labelled = reference.logits[: len(reference.labels)]
            expected = (labelled.argmax(1) == reference.labels).mean()
            assert way["accuracy"] == pytest.approx(expected, abs=1e-6)


def test_an_app_gets_the_class_from_the_bytes_of_an_image(
    bundles: Path, reference: ClassificationReference
) -> None:
    """Bytes in, shares of the classes out, against transformers itself."""
    import torch

    model = load(FOLDER / "model")
    images = np.load(FOLDER / "test.npz")["images"][:64]
    facts = inspect(FOLDER / "model")
    prepared = facts.prepared
    given = (torch.from_numpy(images).float() / 255 - prepared.mean[0]) / prepared.std[0]
    with torch.inference_mode():
        wanted = model(given.permute(0, 3, 1, 2)).softmax(-1).numpy()
    for target, variant, tolerance in (("desktop", "fp32", 1e-5), ("windows", "fp16", 1e-2)):
        session = open_session(model_of(bundles, target, variant))
        assert [value.name for value in session.get_outputs()] == ["logits", "probabilities"]
        _, shares = run_named(session, {"image": images})
        np.testing.assert_allclose(shares, wanted, atol=tolerance)
    names = json.loads((bundles / "desktop" / "config.json").read_text())["id2label"]
    assert names[str(int(wanted[0].argmax()))] == reference.names[int(wanted[0].argmax())]


def test_a_variant_is_compared_with_its_fp32_graph_and_that_graph_is_not(bundles: Path) -> None:
    assert "against_fp32" not in figures(bundles, "web", "fp32")["quality"]["onnx"]
    quality = figures(bundles, "web", "fp16")["quality"]["onnx"]
    against = quality["against_fp32"]
    assert against["cosine_lowest"] >= 0.999
    # fp32 is PyTorch's to seven digits, so what fp16 lost to one it lost to the other.
    assert against["cosine_lowest"] == pytest.approx(quality["cosine_lowest"], abs=1e-5)
    assert against["accuracy"] == quality["accuracy"]


def test_the_web_bundle_has_the_names_that_transformers_js_expects(bundles: Path) -> None:
    assert (bundles / "web" / "onnx" / "model_fp16.onnx").is_file()
    model = onnx.load(str(bundles / "web" / "onnx" / "model.onnx"))
    assert [value.name for value in model.graph.input] == ["pixel_values"]
    assert [value.name for value in model.graph.output] == ["logits"]
    prepared = json.loads((bundles / "web" / "preprocessor_config.json").read_text())
    assert prepared["do_convert_rgb"] is False  # else the library makes three channels of one
    assert "id2label" in json.loads((bundles / "web" / "config.json").read_text())


def test_a_network_without_attention_is_the_same_fused_or_plain(bundles: Path, cache: Path) -> None:
    """Nothing is there to fuse, so `attention: fused` is no error and adds no step."""
    plan = json.loads(call(cache, "plan", "characters", "--json").stdout)
    kinds = [step["kind"].rpartition(":")[2] for step in plan["steps"]]
    assert "FuseAttention" not in kinds
    assert kinds.count("Export") == kinds.count("Reference") == 1


def test_the_python_of_the_readme_runs(bundles: Path) -> None:
    folder = bundles / "desktop"
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 0 <= int(done.stdout.strip(" []\n")) < 47


def test_the_int8_file_is_held_to_half_a_point_and_30_percent(bundles: Path) -> None:
    variant = figures(bundles, "desktop", "int8")
    assert variant["size_bytes"] <= 0.3 * variant["fp32_bytes"]
    quality = variant["quality"]["onnx"]
    assert quality["accuracy_loss"] <= 0.5
    assert 0 < 1 - quality["against_fp32"]["cosine_mean"] < 0.01


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"labels": np.full(1316, 47)}, "the label of image 0 is 47, and the model has 47 classes"),
        ({"images": np.zeros((1316, 32, 32, 3), np.uint8)}, "takes [height, width, 1]"),
    ],
)
def test_data_of_another_model_stops_the_build(
    cache: Path, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    shutil.copytree(FOLDER, tmp_path / "recipes" / "characters")
    shutil.copy(FOLDER.with_suffix(".yaml"), tmp_path / "recipes")
    (tmp_path / "pyproject.toml").touch()
    data = tmp_path / "recipes" / "characters" / "test.npz"
    np.savez(data, **{**np.load(data), **change})
    done = call(
        cache, "build", "characters", "--target", "desktop", "--until", "export", cwd=tmp_path
    )
    assert done.returncode == 4
    assert "the proof's data does not fit the model" in done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_runs_the_images_again(bundles: Path, cache: Path) -> None:
    done = call(cache, "verify", str(bundles / "desktop"), str(bundles / "web"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("verified, every byte, and the quality of each model") == 2


def test_verify_says_what_a_worse_file_loses(bundles: Path, cache: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse"
    shutil.copytree(bundles / "desktop", worse)
    path = model_of(tmp_path, "worse", "fp32")
    model = onnx.load(str(path))
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(weight)
    noise = np.random.default_rng(0).standard_normal(values.shape) * 3 * values.std()
    weight.CopyFrom(numpy_helper.from_array((values + noise).astype(np.float32), weight.name))
    onnx.save(model, str(path))
    manifest = json.loads((worse / "manifest.json").read_text())
    for item in manifest["files"]:
        if item["path"] == path.relative_to(worse).as_posix():
            item |= {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
    (worse / "manifest.json").write_text(json.dumps(manifest))
    done = call(cache, "verify", str(worse))
    assert done.returncode == 5
    assert "accuracy_loss" in done.stderr
    assert "at most 0.1: failed" in done.stderr
