"""The config of a reduced runtime names what is inside branches, and the extensions' operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import StepError
from olive_build.proof import required_operators
from olive_build.proof.required_operators import missing_from_config, read_config
from olive_build.steps.convert_ort import ORT_MODEL, REQUIRED_OPERATORS, ConvertToOrt


def words_of_a_branch() -> onnx.ModelProto:
    """x [2] -> Sqrt or Tanh, by `choice` -> text -> one string; nothing that can be folded."""
    value = helper.make_tensor_value_info

    def branch(operator: str) -> onnx.GraphProto:
        output = f"{operator}_y"
        node = helper.make_node(operator, ["x"], [output], name=operator)
        return helper.make_graph([node], operator, [], [value(output, TensorProto.FLOAT, [2])])

    nodes = [
        helper.make_node(
            "If", ["choice"], ["y"], then_branch=branch("Sqrt"), else_branch=branch("Tanh")
        ),
        helper.make_node("Cast", ["y"], ["words"], to=TensorProto.STRING),
        helper.make_node(
            "StringJoin", ["words", "space", "axis"], ["text"], domain="ai.onnx.contrib"
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [value("x", TensorProto.FLOAT, [2]), value("choice", TensorProto.BOOL, [])],
        [value("text", TensorProto.STRING, None)],
        [
            helper.make_tensor("space", TensorProto.STRING, [1], [b" "]),
            numpy_helper.from_array(np.array([0]), "axis"),
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.contrib", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    onnx.save(words_of_a_branch(), str(source / "model.onnx"))
    return source, out


@pytest.mark.parametrize("style", ["fixed", "runtime"])
def test_branches_and_extensions_are_in_the_config(folders: tuple[Path, Path], style: str) -> None:
    source, out = folders
    ConvertToOrt(style).run({"model": source}, out)
    named = set(read_config(out / REQUIRED_OPERATORS))
    assert named >= {("", "If"), ("", "Sqrt"), ("", "Tanh"), ("", "Cast")}
    assert ("ai.onnx.contrib", "StringJoin") in named
    session = open_session(out / ORT_MODEL)
    x = np.array([4, 9], np.float32)
    (text,) = session.run(None, {"x": x, "choice": np.array(True)})
    assert text.tolist() == ["2 3"]


@pytest.mark.parametrize("operator", ["Sqrt", "Tanh", "StringJoin"])
def test_a_config_without_one_of_them_fails_the_step(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, operator: str
) -> None:
    source, out = folders
    whole = required_operators.read_config

    def without(path: Path) -> required_operators.Operators:
        return {key: types for key, types in whole(path).items() if key[1] != operator}

    monkeypatch.setattr(required_operators, "read_config", without)
    with pytest.raises(StepError, match=f"lacks the operator .*::{operator}"):
        ConvertToOrt("fixed").run({"model": source}, out)


def test_a_type_inside_a_branch_is_compared_too(tmp_path: Path) -> None:
    config = tmp_path / REQUIRED_OPERATORS
    config.write_text(
        'ai.onnx;18;If,Cast,Sqrt{"inputs": {"0": ["double"]}},Tanh\nai.onnx.contrib;1;StringJoin\n',
        encoding="utf-8",
    )
    found = missing_from_config(words_of_a_branch(), config)
    assert found == ["the type float of input 0 of ai.onnx::Sqrt"]
