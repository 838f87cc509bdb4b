"""The verb on folders of every sort: exit code, text, JSON; bad input is named, never a bug."""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from client_folder import (
    WRITERS,
    change_json,
    encoder,
    save,
    save_external,
    write_encoder,
    write_json,
    write_language_model,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "record"))
from samples import manifest_data

from olive_build.bundle.layouts.check import check_layout
from olive_build.cli import cli
from olive_build.errors import BundleError, OliveBuildError
from olive_build.onnx_files.wire import DamagedFile


def verify(*words: str) -> Result:
    return CliRunner().invoke(cli, ["verify", "--layout", "transformers.js", *words])


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as error:
        check_layout(path)
    assert error.value.exit_code == 6
    return error.value.render()


@pytest.mark.parametrize("kind", WRITERS)
def test_a_good_folder_passes_and_says_what_is_asked_for(kind: str, tmp_path: Path) -> None:
    result = verify(str(WRITERS[kind](tmp_path / "folder")))
    assert result.exit_code == 0
    assert f"passed, {kind} with transformers.js 4.3.1" in result.output
    assert "browsers (default)" in result.output


def test_warnings_alone_pass(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    (folder / "onnx" / "model.onnx").unlink()
    result = verify(str(folder))
    assert result.exit_code == 0
    assert "warning[T101]: onnx/model.onnx is missing" in result.output
    assert "1 warning" in result.output


def test_an_error_is_exit_code_6_and_other_folders_are_looked_at(tmp_path: Path) -> None:
    bad, good = write_encoder(tmp_path / "bad"), write_language_model(tmp_path / "good")
    (bad / "onnx" / "model_quantized.onnx").unlink()
    result = verify(str(bad), str(good))
    assert result.exit_code == 6
    assert f"{bad}: failed" in result.output
    assert f"{good}: passed" in result.output


def test_json_has_codes_and_requests(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    (folder / "onnx" / "model_quantized.onnx").unlink()
    result = verify(str(folder), str(tmp_path / "nowhere"), "--json")
    assert result.exit_code == 6
    first, second = json.loads(result.output)
    assert (first["ok"], first["kind"], first["error"]) == (False, "feature-extraction", None)
    assert [item["code"] for item in first["findings"]] == ["T101"]
    assert set(first["findings"][0]) == {"code", "severity", "what", "where", "why", "hint"}
    asked = {item["device"]: (item["dtype"], item["present"]) for item in first["requests"]}
    assert asked == {"wasm": ("q8", False), "webgpu": ("fp32", True), "cpu": ("fp32", True)}
    assert second["error"]["what"] == "there is no such folder"


def test_no_folder(tmp_path: Path) -> None:
    assert "there is no such folder" in refused(tmp_path / "nowhere")


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    text = refused(tmp_path / "model.onnx")
    assert "this is a file, not a folder" in text
    assert "to fix:" in text


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "the folder is empty" in refused(tmp_path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert "there is neither config.json nor an .onnx file" in refused(tmp_path)


def test_a_bundle_of_another_layout(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", manifest_data({"target": "desktop"}))
    assert "this is a bundle of the layout 'plain'" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"target": ["web"], "variants": 1}'])
def test_a_foreign_manifest_is_passed_over(content: bytes, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    (folder / "manifest.json").write_bytes(content)
    assert check_layout(folder).findings == ()


def test_a_bundle_is_held_to_the_variants_that_it_promises(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    (folder / "onnx" / "model_quantized.onnx").unlink()
    write_json(folder / "manifest.json", manifest_data({"target": "web", "variants": {"fp32": {}}}))
    report = check_layout(folder)
    assert [finding.severity for finding in report.findings] == ["warning"]
    write_json(
        folder / "manifest.json",
        manifest_data({"target": "web", "variants": {"fp32": {}, "q8": {}}}),
    )
    assert check_layout(folder).errors == 1


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": 3, "model_type": 4},
        {"model_type": {}},
        {"model_type": [], "architectures": ["BertModel"], "vocab_size": 2},
        {"model_type": {}, "architectures": ["GPTNeoForCausalLM"]},
        {"architectures": [None], "transformers.js_config": "x", "model_type": "bert"},
        {"transformers.js_config": {"device_config": 1, "dtype": [1], "device": {"model": 2}}},
        {"transformers.js_config": {"use_external_data_format": {"model": "two"}}},
        {"model_type": "gpt_neo", "num_layers": "2", "architectures": ["GPTNeoForCausalLM"]},
        {"model_type": "sam", "architectures": ["SamModel"]},
    ],
)
def test_configurations_of_wrong_types_are_findings(config: dict[str, Any], tmp_path: Path) -> None:
    folder = write_language_model(tmp_path / "folder")
    write_json(folder / "config.json", config)
    assert check_layout(folder).findings


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_is_a_finding(name: str, content: bytes, tmp_path: Path) -> None:
    folder = write_language_model(tmp_path / "folder")
    (folder / name).write_bytes(content)
    assert name in {finding.where for finding in check_layout(folder).findings}


def test_every_cut_of_a_model_is_a_finding(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    path = folder / "onnx" / "model.onnx"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert any(f.where == "onnx/model.onnx" for f in check_layout(folder).findings), length


def test_every_changed_byte_is_read_or_named(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    path = folder / "onnx" / "model.onnx"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for byte in (0x00, 0x7F, 0xFF):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            try:
                check_layout(folder)
            except (OliveBuildError, DamagedFile) as error:
                pytest.fail(f"byte {place} as {byte:#x}: {error!r}")


def test_graphs_inside_one_another_without_end_are_a_finding(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    inner = b""
    for _ in range(5000):
        for number in (6, 5, 1):  # an attribute's graph, a node's attribute, a graph's node
            inner = bytes([number << 3 | 2]) + varint(len(inner)) + inner
    graph = bytes([7 << 3 | 2]) + varint(len(inner)) + inner
    opset = bytes([8 << 3 | 2, 2, 2 << 3, 18])
    (folder / "onnx" / "model.onnx").write_bytes(opset + graph)
    (finding,) = check_layout(folder).findings
    assert finding.what == "onnx/model.onnx is no whole ONNX file"


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_weights_are_not_read(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    save_external(folder, "model", encoder(), "model.onnx_data")
    settings = {"use_external_data_format": {"model.onnx": 1}}
    change_json(folder / "config.json", **{"transformers.js_config": settings})
    with (folder / "onnx" / "model.onnx_data").open("r+b") as file:
        file.truncate(1 << 40)  # a TiB, of which no byte is on the disk
    report = check_layout(folder)
    assert {str(finding.code) for finding in report.findings} == {"T107"}


def test_an_unreadable_file_is_a_finding(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    path = folder / "onnx" / "model.onnx"
    path.unlink()
    path.symlink_to(path)  # a circle
    assert [finding.where for finding in check_layout(folder).findings] == ["onnx/model.onnx"]


@pytest.mark.parametrize(
    "config",
    [
        {"num_layers": 10**6},
        {"transformers.js_config": {"use_external_data_format": 10**6}},
    ],
    ids=["layers", "files"],
)
def test_huge_numbers_are_not_counted_up_to(config: dict[str, Any], tmp_path: Path) -> None:
    folder = write_language_model(tmp_path / "folder")
    check_layout(folder)  # what it reads once it keeps
    change_json(folder / "config.json", **config)
    tracemalloc.start()
    try:
        check_layout(folder)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["onnx/model.onnx", "config.json", "tokenizer.json"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    (folder / name).unlink()
    os.mkfifo(tmp_path / "pipe")
    (folder / name).symlink_to(tmp_path / "pipe")
    found = {finding.where: finding.what for finding in check_layout(folder).findings}
    assert found[name] == "no regular file"


def test_a_linked_folder_of_models_is_followed(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "folder")
    os.rename(folder / "onnx", tmp_path / "elsewhere")
    (folder / "onnx").symlink_to(tmp_path / "elsewhere")
    assert check_layout(folder).findings == ()


def test_the_same_folder_gives_the_same_text(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path / "folder")
    save(folder, "model_q4", encoder())
    assert verify(str(folder)).output == verify(str(folder)).output
