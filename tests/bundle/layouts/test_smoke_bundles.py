"""What is built for the web is what the client asks for; a bundle that it could not load is not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from client_folder import change_json

from olive_build.bundle.layouts.check import check_layout
from olive_build.bundle.publish import from_bytes, publish
from olive_build.errors import BundleError

ROOT = Path(__file__).resolve().parents[3]
RECIPES = {"all-minilm-l6-v2": "feature-extraction", "whisper-digits": "speech-recognition"}


@pytest.fixture(scope="session")
def outputs(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    base = tmp_path_factory.mktemp("smoke")
    words = ["build", *RECIPES, "--smoke", "--target", "web", "--outputs", str(base)]
    environment = {**os.environ, "OLIVE_BUILD_CACHE": str(shared_cache)}
    command = [sys.executable, "-m", "olive_build", *words]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=600)
    return base / "smoke"


@pytest.fixture(params=RECIPES)
def bundle(request: pytest.FixtureRequest, outputs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(outputs / request.param / "web", tmp_path / request.param))


def verified(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "olive_build", "verify", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_smoke_bundle_has_no_findings(bundle: Path) -> None:
    report = check_layout(bundle)
    assert report.kind == RECIPES[bundle.name]
    assert report.findings == ()
    assert {request.path for request in report.requests} <= report.present


def test_axis_of_our_graphs_are_what_onnx_says(bundle: Path) -> None:
    """The reader of ours agrees with the onnx package on every model."""
    from olive_build.onnx_files.header import read_onnx

    for path in sorted((bundle / "onnx").glob("*.onnx")):
        ours, theirs = read_onnx(path), onnx.load(path)
        assert ours.ir == theirs.ir_version
        for mine, its in ((ours.inputs, theirs.graph.input), (ours.outputs, theirs.graph.output)):
            shapes = [
                tuple(axis.dim_param or axis.dim_value for axis in item.type.tensor_type.shape.dim)
                for item in its
            ]
            assert [(value.name, value.shape) for value in mine] == [
                (item.name, shape) for item, shape in zip(its, shapes, strict=True)
            ]


def test_verify_of_a_bundle_checks_its_layout(outputs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "web"
    shutil.copytree(outputs / "all-minilm-l6-v2" / "web", folder)
    change_json(folder / "config.json", model_type=None)
    content = (folder / "config.json").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == "config.json":
            entry.update(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = verified(str(folder))
    assert result.returncode == 6
    assert "error: transformers.js 4.3.1 cannot load the bundle" in result.stderr
    assert "error[T203]: no 'model_type'" in result.stderr


def test_nothing_is_published_that_a_check_refuses(tmp_path: Path) -> None:
    def refuse(stage: Path) -> None:
        assert (stage / "config.json").read_bytes() == b"{}"
        raise BundleError("refused")

    folder = tmp_path / "web"
    with pytest.raises(BundleError, match="refused"):
        publish(folder, [from_bytes("config.json", b"{}")], b"{}", b"{}", refuse)
    assert list(tmp_path.iterdir()) == []
