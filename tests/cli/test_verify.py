"""verify and diff of published bundles: what was changed is found, and named."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_recipe import Project, built


def test_verify_recomputes_every_figure(published: Project) -> None:
    folders = [str(published.bundle(target)) for target in ("desktop", "web")]
    result = published.run("verify", *folders, "--json")
    assert result.code == 0, result.err
    for bundle in result.json:
        proof = json.loads((Path(bundle["path"]) / "proof.json").read_text())
        for file in bundle["files"]:
            recorded = proof["variants"][file["variant"]]["quality"]["onnx"]
            # The fp32 graph that a file came from is not in its bundle.
            recorded.pop("against_fp32", None)
            assert file["figures"] == recorded


def test_verify_needs_no_torch(published: Project) -> None:
    blocker = published.folder / "no_torch"
    for name in ("torch", "transformers", "olive", "onnx", "tokenizers"):
        (blocker / name).mkdir(parents=True)
        (blocker / name / "__init__.py").write_text("raise ImportError('not for verify')\n")
    paths = f"{blocker}:{published.all_variables()['PYTHONPATH']}"
    published.environment = {"PYTHONPATH": paths}
    # web: its layout is checked too.
    folders = [str(published.bundle(target)) for target in ("desktop", "web")]
    result = published.run("verify", *folders)
    assert result.code == 0, result.err


def test_a_flipped_byte_is_found(published: Project) -> None:
    model = published.bundle("desktop") / "int8" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    for words in (("verify",), ("bench", "--seconds", "0.1"), ("report",)):
        result = published.run(*words, str(published.bundle("desktop")))
        assert result.code == 6
        assert "int8/model.onnx: its bytes were changed" in result.err
    result = published.run("report", "tiny")
    assert (result.code, "at:      outputs/tiny/desktop" in result.err) == (6, True)
    assert not (published.folder / "outputs" / "tiny" / "report.html").exists()


def test_a_flipped_byte_is_repaired_by_the_next_build(published: Project) -> None:
    model = published.bundle("desktop") / "int8" / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    result = published.run("build", "tiny", "--target", "desktop")
    assert "published: " in result.out
    assert model.read_bytes() == good


@pytest.mark.parametrize("change", ["missing", "extra", "shorter"])
def test_other_files_than_the_manifest_says_are_found(published: Project, change: str) -> None:
    folder = published.bundle("desktop")
    readme = folder / "README.md"
    if change == "missing":
        readme.unlink()
    elif change == "extra":
        (folder / "int8" / "evil.dll").write_bytes(b"x")
    else:
        readme.write_bytes(readme.read_bytes()[:-1])
    result = published.run("verify", str(folder))
    assert result.code == 6
    expected = {
        "missing": "README.md: missing",
        "extra": "int8/evil.dll: not in the manifest",
        "shorter": "README.md: has ",
    }
    assert expected[change] in result.err


def forge(folder: Path, path: str, content: bytes) -> None:
    """Replace a file and make the manifest agree."""
    (folder / path).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == path:
            entry["sha256"] = hashlib.sha256(content).hexdigest()
            entry["size_bytes"] = len(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_wrong_model_with_right_digests_is_found(published: Project) -> None:
    folder = published.bundle("desktop")
    model = onnx.load(str(folder / "int8" / "model.onnx"))
    weight = max(model.graph.initializer, key=lambda t: len(t.raw_data) * (t.data_type == 3))
    changed = np.flip(numpy_helper.to_array(weight), axis=0).copy()
    weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
    forge(folder, "int8/model.onnx", model.SerializeToString())
    result = published.run("verify", str(folder))
    assert result.code == 5
    assert "the bundle does not do what its proof says" in result.err
    assert "int8/model.onnx: cosine" in result.err


def test_a_model_that_does_not_load_is_a_failed_proof_not_a_crash(published: Project) -> None:
    folder = published.bundle("desktop")
    forge(folder, "int8/model.onnx", b"garbage")
    result = published.run("verify", str(folder))
    assert result.code == 5
    assert "it is no whole ONNX file" in result.err


@pytest.mark.parametrize("name", ["manifest.json", "proof.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"manifest_version": 1}', b"\xff"])
def test_a_damaged_manifest_or_proof_is_a_clear_error(
    published: Project, name: str, content: bytes | None
) -> None:
    path = published.bundle("desktop") / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    result = published.run("verify", str(published.bundle("desktop")))
    assert result.code == 6
    assert result.err.startswith("error: ")
    assert "\n  to fix: " in result.err


def test_verify_of_no_bundle_says_what_a_bundle_is(project: Project) -> None:
    result = project.run("verify", "recipes")
    assert result.code == 6
    assert "there is no manifest.json" in result.err


def test_the_index_holds_the_digest_of_every_proof(published: Project) -> None:
    index = json.loads((published.folder / "outputs" / "index.json").read_text())
    for item in index["bundles"]:
        proof = (published.folder / "outputs" / item["path"] / "proof.json").read_bytes()
        assert hashlib.sha256(proof).hexdigest() == item["proof_sha256"]


def test_diff_shows_settings_and_figures(published: Project) -> None:
    old = published.folder / "old"
    shutil.copytree(published.bundle("desktop"), old)
    assert published.run("diff", "old", str(published.bundle("desktop"))).out.startswith(
        "no difference"
    )
    built(
        published,
        "--target",
        "desktop",
        "--set",
        "quantize={method: dynamic-int8, per_channel: false}",
    )
    result = published.run("diff", "old", str(published.bundle("desktop")))
    assert result.code == 0
    assert "int8: quantize per_channel" in result.out
    assert "int8.onnx: cosine_mean" in result.out
