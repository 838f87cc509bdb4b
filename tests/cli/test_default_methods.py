"""The built-in variants of models of other kinds: what is a default fits them, or is left out.

The files are held against transformers' own models on its own processor's pixels.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from onnx import TensorProto
from tiny_recipe import Project, Result

sys.path.insert(0, str(Path(__file__).parent))
from default_models import CLASSIFIERS, write_classifier, write_images, write_opt

DESKTOP = "{desktop: {variants: [int8], compose: none}}"
BOTH = "{desktop: {variants: [int8], compose: none}, web: {variants: [q8], provider: webgpu}}"
CONVOLUTIONAL = ("resnet", "convnext", "mobilenet")
LEAST_COSINE = 0.95


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Project:
    folder = tmp_path_factory.mktemp("defaults")
    recipes = folder / "recipes"
    recipes.mkdir()
    (folder / "pyproject.toml").touch()
    write_images(recipes)
    for name in CLASSIFIERS:
        write_classifier(recipes, name, DESKTOP if name in ("mobilenet", "vit") else BOTH)
    write_opt(recipes, DESKTOP)
    return Project(folder, shared_cache)


@pytest.fixture(scope="module")
def built(project: Project) -> Result:
    return project.run("build", *CLASSIFIERS, "opt", "--keep-going", "--json")


def variant_of(project: Project, name: str, target: str) -> tuple[dict[str, Any], onnx.ModelProto]:
    """Return what the manifest says of a bundle's one variant, and its graph."""
    folder = project.folder / "outputs" / name / target
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (variant,) = manifest["variants"].values()
    file = next(path for path in variant["files"].values() if path.endswith(".onnx"))
    return variant, onnx.load(folder / file)


def require_agreement(project: Project, name: str, graph: onnx.ModelProto) -> None:
    """Hold the file's logits against those of transformers' model and processor."""
    folder = project.folder / "recipes" / name
    images = np.load(folder.with_name("test.npz"))["images"]
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pixels = processor(list(images), return_tensors="pt")["pixel_values"]
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = model(pixel_values=pixels).logits.numpy()
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["logits"], {"pixel_values": pixels.numpy()})
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (found * expected).sum(1) / lengths
    assert cosines.min() > LEAST_COSINE
    assert cosines.min() < 1 - 1e-9  # it is no fp32 file


def operators(graph: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in graph.graph.node}


def int8_weights(graph: onnx.ModelProto) -> list[tuple[int, ...]]:
    return [tuple(t.dims) for t in graph.graph.initializer if t.data_type == TensorProto.INT8]


def test_everything_is_built(built: Result) -> None:
    failed = [item["error"] for item in built.json["bundles"] if item["error"]]
    assert not failed
    assert built.code == 0
    assert len(built.json["bundles"]) == 7


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_int8_of_convolutions_has_ranges_from_calibration(
    project: Project, built: Result, name: str
) -> None:
    variant, graph = variant_of(project, name, "desktop")
    assert variant["quantize"]["method"] == "static-int8"
    assert variant["precision"] == "w8a8"
    assert {"Conv", "QuantizeLinear", "DequantizeLinear"} <= operators(graph)
    assert any(len(dims) == 4 for dims in int8_weights(graph))
    require_agreement(project, name, graph)


@pytest.mark.parametrize("name", ["resnet", "convnext"])
def test_for_a_provider_without_integer_convolutions_their_weights_are_in_8_bits(
    project: Project, built: Result, name: str
) -> None:
    variant, graph = variant_of(project, name, "web")
    assert variant["quantize"]["method"] == "weight-only"
    assert variant["precision"] == "weight-int8"
    assert "DequantizeLinear" in operators(graph)
    assert not {"QuantizeLinear", "MatMulNBits"} & operators(graph)
    assert int8_weights(graph)
    require_agreement(project, name, graph)


def test_int8_of_a_transformer_of_images_is_dynamic(project: Project, built: Result) -> None:
    variant, graph = variant_of(project, "vit", "desktop")
    assert variant["quantize"]["method"] == "dynamic-int8"
    assert {"MatMulInteger", "DynamicQuantizeLinear"} <= operators(graph)
    require_agreement(project, "vit", graph)


def test_int8_of_opt_is_built_and_says_what_was_left_out(project: Project, built: Result) -> None:
    variant, graph = variant_of(project, "opt", "desktop")
    assert variant["quantize"]["method"] == "dynamic-int8"
    assert {"MatMulInteger", "DynamicQuantizeLinear"} <= operators(graph)
    notes = {step["slot"]: step["notes"] for step in built.json["steps"]}
    (note,) = notes["opt/fused/int8/per-token-scale"]
    assert note.startswith("left out: no matrix product to scale per token was found")
    model = transformers.OPTForCausalLM.from_pretrained(project.folder / "recipes" / "opt").eval()
    ids = np.random.default_rng(0).integers(5, model.config.vocab_size, (2, 12))
    with torch.inference_mode():
        expected = model(input_ids=torch.from_numpy(ids)).logits.numpy()
    (found,) = run_first_step(graph, ids)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert 1e-6 < error < 0.1


def run_first_step(graph: onnx.ModelProto, ids: np.ndarray) -> list[np.ndarray]:
    """Return the logits [rows, tokens, vocabulary] of `ids`, with an empty cache."""
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rows, count = ids.shape
    feeds: dict[str, Any] = {}
    for given in session.get_inputs():
        if given.name.startswith("past"):
            axes = [axis if isinstance(axis, int) else 0 for axis in given.shape]
            feeds[given.name] = np.zeros([rows, *axes[1:]], np.float32)
        elif given.name == "position_ids":
            feeds[given.name] = np.tile(np.arange(count), (rows, 1))
        else:
            feeds[given.name] = ids if given.name == "input_ids" else np.ones_like(ids)
    return session.run(["logits"], feeds)


@pytest.fixture
def asked(project: Project, built: Result) -> Callable[[str], Result]:
    """Build OPT's int8 with a setting that the recipe itself writes."""

    def run(setting: str) -> Result:
        method = f"variants.int8.quantize={{method: dynamic-int8, {setting}}}"
        return project.run("build", "opt", "--set", method, "--until", "quantize")

    return run


def test_what_the_recipe_asks_for_must_find_something(asked: Callable[[str], Result]) -> None:
    result = asked("per_token: after-activations")
    assert result.code == 4
    assert "error: no matrix product to scale per token was found" in result.err
    assert "write `per_token: none` for this quantizer" in result.err


def test_a_method_that_the_recipe_writes_keeps_its_defaults(asked: Callable[[str], Result]) -> None:
    result = asked("per_channel: false")
    assert result.code == 0, result.err
    assert "per-token-scale: left out: no matrix product" in result.out
