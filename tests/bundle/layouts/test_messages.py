"""Each mistake that people make with such folders: what is found, in the words that are read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import onnx
import pytest
from client_folder import (
    WRITERS,
    change_json,
    classifier,
    encoder,
    save,
    save_external,
    value,
    write_encoder,
    write_language_model,
)
from graph_mistakes import with_node
from layout_mistakes import CASES, models
from onnx import TensorProto, helper

from olive_build.bundle.layouts.check import check_layout
from olive_build.bundle.layouts.findings import Code, Finding

MESSAGES = Path(__file__).parent / "messages"


def golden(name: str, text: str) -> None:
    path = MESSAGES / f"{name}.txt"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before != text and os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path.name} was rewritten: read it, and run again without UPDATE_GOLDEN")
    assert before == text


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_named_and_explained(name: str, tmp_path: Path) -> None:
    findings = check_layout(CASES[name](tmp_path / "folder")).findings
    assert findings
    text = "\n\n".join(finding.render() for finding in findings) + "\n"
    golden(name, text.replace(str(tmp_path), "/somewhere"))


def test_every_message_belongs_to_a_case() -> None:
    assert {path.stem for path in MESSAGES.glob("*.txt")} == set(CASES)


def found(folder: Path) -> tuple[Finding, ...]:
    return check_layout(folder).findings


def test_every_code_has_a_case(tmp_path: Path) -> None:
    codes = {
        finding.code for name, write in CASES.items() for finding in found(write(tmp_path / name))
    }
    assert codes == set(Code)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_without_mistakes_has_no_findings(kind: str, tmp_path: Path) -> None:
    folder = WRITERS[kind](tmp_path / "folder")
    for path in folder.rglob("*.onnx"):
        onnx.checker.check_model(str(path))
    report = check_layout(folder)
    assert (report.kind, report.findings) == (kind, ())
    assert {request.path for request in report.requests} <= report.present


def test_a_download_of_links_is_taken_as_files(tmp_path: Path) -> None:
    folder, blobs = write_encoder(tmp_path / "folder"), tmp_path / "blobs"
    save_external(folder, "model", encoder(), "model.onnx_data")
    settings = {"use_external_data_format": {"model.onnx": 1}}
    change_json(folder / "config.json", **{"transformers.js_config": settings})
    blobs.mkdir()
    for number, path in enumerate([p for p in folder.rglob("*") if p.is_file()]):
        shutil.move(path, blobs / str(number))
        path.symlink_to(blobs / str(number))
    assert found(folder) == ()


def test_a_pinned_device_asks_for_its_own_file(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    for name in ("model", "model_quantized"):
        (models(folder) / f"{name}.onnx").unlink()
    save(folder, "model_q4f16", encoder())
    settings = {"device": "webgpu", "device_config": {"webgpu": {"dtype": "q4f16"}}}
    change_json(folder / "config.json", **{"transformers.js_config": settings})
    findings = found(folder)
    assert [finding.severity for finding in findings] == ["warning", "warning"]
    by_default = [r.path for r in check_layout(folder).requests if r.default]
    assert by_default == ["onnx/model_q4f16.onnx"]


def test_a_language_model_without_its_head_embeds(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path / "folder")
    graph = encoder()
    graph.graph.input.append(value("position_ids", ["batch_size", "n"], TensorProto.INT64))
    for name in ("model", "model_quantized"):
        save(folder, name, graph)
    report = check_layout(folder)
    assert (report.kind, report.findings) == ("feature-extraction", ())


def test_weights_in_a_function_and_a_branch_are_found(tmp_path: Path) -> None:
    branch = classifier().graph
    branch.ClearField("input")
    branch.initializer.append(
        helper.make_tensor("hidden", TensorProto.FLOAT, [4], bytes(16), raw=True)
    )
    onnx.external_data_helper.set_external_data(branch.initializer[0], "model.onnx_data")
    branch.initializer[0].ClearField("raw_data")
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    texts = [finding.what for finding in found(with_node(tmp_path / "folder", node))]
    assert "onnx/model.onnx_data is missing" in texts
