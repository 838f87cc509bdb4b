"""A model can be several files, so the product reads and writes models through onnx_files alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "olive_build"
ROOM = ROOT / "onnx_files"
FORBIDDEN = {
    *("load", "load_model", "load_from_string", "load_model_from_string"),
    *("save", "save_model", "external_data_helper", "load_external_data_for_model"),
    "convert_model_to_external_data",
}


def uses(source: str) -> Iterator[int]:
    """Yield the lines in which the package onnx is asked to read or write a model."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(ast.Name("onnx"), name) if name in FORBIDDEN:
                yield node.lineno
            case ast.ImportFrom(module="onnx", names=names) if FORBIDDEN & {n.name for n in names}:
                yield node.lineno
            case ast.ImportFrom(module="onnx.external_data_helper"):
                yield node.lineno
            case ast.Import(names=names) if any(
                n.name == "onnx.external_data_helper" for n in names
            ):
                yield node.lineno


def test_only_one_room_reads_and_writes_models_with_onnx() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        if not path.is_relative_to(ROOM)
        for line in uses(path.read_text(encoding="utf-8"))
    ]
    assert not found, "use olive_build.onnx_files.models, which reads and writes weights beside"


@pytest.mark.parametrize(
    "line",
    [
        "onnx.load(path)",
        "onnx.save(model, path)",
        "read = onnx.load_model",
        "from onnx import load as read",
        "from onnx import TensorProto, save_model",
        "from onnx.external_data_helper import load_external_data_for_model",
        "import onnx.external_data_helper",
    ],
)
def test_the_rule_sees_each_way(line: str) -> None:
    assert [*uses(line)] == [1]
