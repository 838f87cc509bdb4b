"""Models whose weights lie beside their graphs: every recipe that builds one, and one of 2.3 GB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.clients.onnxruntime_client import open_session
from olive_build.engine.step import Step
from olive_build.errors import StepError
from olive_build.methods.steps.dynamic_int8 import QuantizeDynamicInt8
from olive_build.methods.steps.fp16 import ConvertToFp16
from olive_build.methods.steps.tables import QuantizeEmbeddings
from olive_build.onnx_files import models
from olive_build.onnx_files.data_files import files_of
from olive_build.recipe.load import load_recipe
from olive_build.steps.convert_ort import ConvertToOrt
from olive_build.steps.describe import Describe
from olive_build.steps.fix_shapes import FixShapes

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "cli"))
from external_data_package import package_with_small_limit  # noqa: E402

# What trains is one file.
RECIPES = [
    path for path in sorted((ROOT / "recipes").glob("*.yaml")) if "\ntrain:" not in path.read_text()
]
CASES = [(path.stem, target) for path in RECIPES for target in load_recipe(path).recipe.targets]
ROWS, WIDTH = 290_000, 1024


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """What became of each recipe and target, with weights beside the graph from 20 kB on."""
    base = tmp_path_factory.mktemp("beside")
    package = package_with_small_limit(base)
    names = [path.stem for path in RECIPES]
    words = ["build", *names, "--smoke", "--keep-going", "--json"]
    words += ["--recipes", str(ROOT / "recipes"), "--outputs", str(base / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", *words],
        cwd=base,  # or the package beside this file would run
        env={**os.environ, "PYTHONPATH": str(package), "OLIVE_BUILD_CACHE": str(base / "cache")},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr
    return {(item["recipe"], item["target"]): item for item in json.loads(done.stdout)["bundles"]}


@pytest.mark.parametrize(("recipe", "target"), CASES)
def test_a_recipe_builds_with_its_weights_beside(
    built: dict[tuple[str, str], Any], recipe: str, target: str
) -> None:
    bundle = built[recipe, target]
    assert bundle["error"] is None
    assert bundle["status"] == "published"
    assert all(variant["verdict"] == "passed" for variant in bundle["variants"].values())
    manifest = json.loads((Path(bundle["path"]) / "manifest.json").read_text())
    assert any(item["path"].endswith(".onnx_data") for item in manifest["files"])


def two_tables() -> onnx.ModelProto:
    """ids [rows, words] -> the sum of rows of two tables of 1.19 GB -> MatMul, Relu, MatMul."""
    random = np.random.default_rng(0)
    pattern = random.normal(size=(1000, WIDTH)).astype(np.float32)
    tables = {
        name: np.tile(pattern * sign, (ROWS // 1000, 1)) for name, sign in (("t", 1), ("u", -0.5))
    }
    weights = {f"w{n}": random.normal(0, 0.03, (WIDTH, WIDTH)).astype(np.float32) for n in "12"}
    nodes = [
        helper.make_node("Gather", ["t", "ids"], ["one"], "one"),
        helper.make_node("Gather", ["u", "ids"], ["other"], "other"),
        helper.make_node("Add", ["one", "other"], ["x"], "sum"),
        helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["a"], "relu"),
        helper.make_node("MatMul", ["a", "w2"], ["y"], "second"),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", "words"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "words", WIDTH])
    graph = helper.make_graph(nodes, "tables", [ids], [out])
    for stored in (tables, weights):
        for name in list(stored):
            graph.initializer.append(numpy_helper.from_array(stored.pop(name), name))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def answer(folder: Path) -> np.ndarray:
    ids = np.arange(0, ROWS, ROWS // 8, dtype=np.int64)[:8].reshape(2, 4)
    found: np.ndarray = open_session(folder / "model.onnx").run(None, {"ids": ids})[0]
    return found.astype(np.float32)


def test_a_model_above_what_protobuf_holds_goes_through_the_steps(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    models.write(two_tables(), source / "model.onnx")
    names = [path.name for path in files_of(source / "model.onnx")]
    assert names == ["model.onnx", "model.onnx_data", "model.onnx_data_1"]
    assert sum(path.stat().st_size for path in files_of(source / "model.onnx")) > 2**31
    expected = answer(source)
    steps: dict[str, tuple[Step, float]] = {
        "fixed": (FixShapes((("rows", 2), ("words", 4))), 1e-4),
        "fp16": (ConvertToFp16(True, (), ()), 0.05),
        "tables": (QuantizeEmbeddings(()), 0.05),
        "int8": (QuantizeDynamicInt8(True, "int8", False, False, None, ("one", "other")), 0.1),
    }
    for name, (step, tolerance) in steps.items():
        out = tmp_path / name
        out.mkdir()
        step.run({"model": source}, out)
        assert np.abs(answer(out) - expected).max() < tolerance, name
        large = name in ("fixed", "int8")
        assert (len(files_of(out / "model.onnx")) > 1) == large, name
        for path in files_of(out / "model.onnx"):
            path.unlink()
    Describe(mobile=True).run({"model": source}, tmp_path)
    described = json.loads((tmp_path / "description.json").read_text())
    assert described["stored_values"] == 2 * ROWS * WIDTH + 2 * WIDTH * WIDTH
    (tmp_path / "ort").mkdir()
    with pytest.raises(StepError, match="too large for ORT format") as caught:
        ConvertToOrt("fixed").run({"model": source}, tmp_path / "ort")
    assert "formats: [onnx]" in str(caught.value.hint)
