"""A required-operators config that lacks an operator or a type of the graph is caught."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from olive_build.errors import BundleError
from olive_build.proof.required_operators import missing_from_config, read_config

COMPLETE = """# a comment
ai.onnx;18;Add{"inputs": {"0": ["float"]}},\
Cast{"inputs": {"0": ["float"]}, "outputs": {"0": ["int64_t"]}}
com.microsoft;1;BiasGelu
ai.onnx.contrib;1;StringJoin
"""


def model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.INT64),
        helper.make_node("BiasGelu", ["x", "x"], ["z"], domain="com.microsoft"),
        helper.make_node("StringJoin", ["s"], ["t"], domain="ai.onnx.contrib"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1])],
        value_info=[helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1])],
    )
    return helper.make_model(graph)


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "required_operators.config"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_complete_config_lacks_nothing(tmp_path: Path) -> None:
    assert missing_from_config(model(), config(tmp_path, COMPLETE)) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (
            COMPLETE.replace("com.microsoft;1;BiasGelu\n", ""),
            "the operator com.microsoft::BiasGelu",
        ),
        (COMPLETE.replace("StringJoin", "Other"), "the operator ai.onnx.contrib::StringJoin"),
        (COMPLETE.replace("Add{", "Sub{"), "the operator ai.onnx::Add"),
        (
            COMPLETE.replace('Add{"inputs": {"0": ["float"]}}', 'Add{"inputs": {"0": ["double"]}}'),
            "the type float of input 0 of ai.onnx::Add",
        ),
        (COMPLETE.replace("int64_t", "int32_t"), "the type int64_t of output 0 of ai.onnx::Cast"),
    ],
)
def test_what_is_lacking_is_named(tmp_path: Path, text: str, missing: str) -> None:
    assert missing_from_config(model(), config(tmp_path, text)) == [missing]


@pytest.mark.parametrize("text", ["no semicolons", 'ai.onnx;18;Add{"inputs": ['])
def test_a_malformed_config_is_a_clear_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(BundleError, match="malformed") as caught:
        read_config(config(tmp_path, text))
    assert caught.value.where and caught.value.where.endswith(":1")


def test_a_name_in_a_subgraph_hides_the_one_around_it(tmp_path: Path) -> None:
    """As with GreedySearch, whose subgraph has an `input_ids` of another type."""
    inner = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["out"])],
        "inner",
        [helper.make_tensor_value_info("x", TensorProto.INT32, [1])],
        [helper.make_tensor_value_info("out", TensorProto.INT32, [1])],
    )
    outer = helper.make_graph(
        [
            helper.make_node("Search", ["x"], ["found"], domain="com.microsoft", body=inner),
            helper.make_node("Abs", ["x"], ["y"]),
        ],
        "outer",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1])],
    )
    text = (
        'ai.onnx;18;Abs{"inputs": {"0": ["int64_t"]}},Neg{"inputs": {"0": ["int32_t"]}}\n'
        "com.microsoft;1;Search\n"
    )
    model = helper.make_model(outer)
    assert missing_from_config(model, config(tmp_path, text)) == []
    wrong = text.replace("int64_t", "int32_t")
    assert missing_from_config(model, config(tmp_path, wrong)) == [
        "the type int64_t of input 0 of ai.onnx::Abs"
    ]
