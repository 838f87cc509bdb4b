"""Bundles of models whose weights lie beside their graphs, from the recipe to every verb.

What is run is a copy of the package that puts weights beside a graph from 20 kB on: nothing that a
recipe, a bundle or a variable says changes that size.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import onnx
import pytest
from external_data_package import LIMIT, package_with_small_limit
from tiny_recipe import RECIPE, Project, built

TARGETS = RECIPE + "  android:\n    formats: [onnx, ort]\n    variants: [int8]\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_with_small_limit(tmp_path_factory.mktemp("small limit"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def beside(new_project: object, package: Path, cache: Path) -> Project:
    project: Project = new_project(cache=cache)  # type: ignore[operator]
    project.environment = {"PYTHONPATH": str(package)}
    project.write_recipe(TARGETS)
    return built(project)


def test_every_file_of_a_model_is_built_listed_and_verified(beside: Project) -> None:
    expected = {
        "desktop": ["int8/model.onnx"],
        "web": ["onnx/model.onnx", "onnx/model_quantized.onnx"],
        "android": ["int8/model.onnx"],
    }
    for target, graphs in expected.items():
        folder = beside.bundle(target)
        manifest = json.loads((folder / "manifest.json").read_text())
        proof = json.loads((folder / "proof.json").read_text())
        listed = {item["path"]: item for item in manifest["files"]}
        for graph in graphs:
            data = f"{graph}_data"
            content = (folder / data).read_bytes()
            assert listed[data]["sha256"] == hashlib.sha256(content).hexdigest()
            assert len(content) > LIMIT > (folder / graph).stat().st_size / 20
            model = onnx.load(str(folder / graph), load_external_data=False)
            locations = {e.value for t in model.graph.initializer for e in t.external_data[:1]}
            assert locations == {Path(data).name}
            onnx.checker.check_model(str(folder / graph)) if target == "web" else None
            assert (
                f"`{graph}` reads its weights from `{data}`" in (folder / "README.md").read_text()
            )
        for name, variant in manifest["variants"].items():
            sizes = [
                listed[path]["size_bytes"]
                + listed.get(f"{path}_data", {"size_bytes": 0})["size_bytes"]
                for role, path in variant["files"].items()
                if role in ("onnx", "ort")
            ]
            assert proof["variants"][name]["size_bytes"] == max(sizes)
    again = beside.run("build", "tiny")
    assert again.code == 0
    result = beside.run("verify", *(str(beside.bundle(target)) for target in expected), "--json")
    assert result.code == 0, result.out + result.err


def test_the_browsers_client_is_told_how_many_files_there_are(beside: Project) -> None:
    folder = beside.bundle("web")
    config = json.loads((folder / "config.json").read_text())
    told = config["transformers.js_config"]["use_external_data_format"]
    assert told == {"model.onnx": 1, "model_quantized.onnx": 1}
    assert (folder / "onnx" / "model_quantized.onnx_data").is_file()


def test_explain_and_bench_open_them(beside: Project) -> None:
    fp32, q8 = (str(beside.bundle("web") / "onnx" / f"model{n}.onnx") for n in ("", "_quantized"))
    result = beside.run("explain", "--quality", fp32, q8, "--samples", "4", "--json")
    assert result.code == 0, result.err
    result = beside.run(
        "bench", str(beside.bundle("web")), "--lengths", "8", "--seconds", "0.5", "--json"
    )
    assert result.code == 0, result.err


@pytest.mark.parametrize("place", ["../elsewhere", "link", "/etc/passwd", "model.onnx_data"])
def test_weights_that_a_bundle_takes_from_elsewhere_are_refused(
    beside: Project, place: str
) -> None:
    folder = beside.bundle("desktop")
    path = folder / "int8" / "model.onnx"
    shutil.copy(folder / "int8" / "model.onnx_data", folder / "elsewhere")
    if place == "link":
        os.symlink(folder / "elsewhere", folder / "int8" / "link")
    model = onnx.load(str(path), load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.external_data)
    for entry in tensor.external_data:
        if entry.key == "location":
            entry.value = place
        elif entry.key == "offset" and place == "model.onnx_data":
            entry.value = str(10**12)
    path.write_bytes(model.SerializeToString())
    manifest = json.loads((folder / "manifest.json").read_text())
    for item in manifest["files"]:
        if item["path"] == "int8/model.onnx":
            content = path.read_bytes()
            item |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    elsewhere = (folder / "elsewhere").read_bytes()
    digest = hashlib.sha256(elsewhere).hexdigest()
    extra = {"path": "elsewhere", "sha256": digest, "size_bytes": len(elsewhere)}
    manifest["files"].append(extra)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for word, code in (("verify", 6 if place == "link" else 5), ("bench", 6)):
        result = beside.run(word, str(folder))
        assert result.code == code, result.out + result.err
        assert ("it is a link" if place == "link" else "the weights of") in result.err
