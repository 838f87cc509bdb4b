"""Inputs and outputs get the names that a recipe chooses, whatever inner values are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from olive_build.errors import StepError
from olive_build.training.torch_export import exported_name, name_ends
from olive_build.training.torch_names import graph_names

from .small_training import TRAIN


class TwoSums(nn.Module):
    """A linear layer and a sum, which the exporter calls `linear` and `add`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.top = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        hidden = self.body(values) + 1.0
        result: torch.Tensor = self.top(hidden) + hidden.sum(1, keepdim=True)
        return result


def exported(source: str, result: str) -> onnx.ModelProto:
    program = torch.onnx.export(
        TwoSums().eval(),
        (torch.zeros(3, 4),),
        None,
        input_names=[source],
        output_names=[result],
        opset_version=18,
        dynamo=True,
        optimize=False,
        verbose=False,
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


@pytest.mark.parametrize(("source", "result"), [("linear", "add"), ("add", "linear"), ("x", "y")])
def test_an_inner_value_gives_way(source: str, result: str) -> None:
    model = exported(exported_name("values"), exported_name("logits"))
    inner = {name for node in model.graph.node for name in node.output}
    assert {"linear", "add"} <= inner, "the case would prove nothing"
    name_ends(model, {exported_name("values"): source, exported_name("logits"): result})
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == [source]
    assert [value.name for value in model.graph.output] == [result]
    evaluate = onnx.reference.ReferenceEvaluator(model)
    values = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    found = np.asarray(evaluate.run([result], {source: values})[0])
    with torch.no_grad():
        expected = TwoSums()(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_where_nothing_clashes_the_graph_is_the_exporters() -> None:
    model = exported(exported_name("values"), exported_name("logits"))
    name_ends(model, {exported_name("values"): "x", exported_name("logits"): "y"})
    assert model.SerializeToString() == exported("x", "y").SerializeToString()


def test_the_losss_name_is_taken() -> None:
    train = replace(TRAIN, rename=(("logits", "loss"),))
    with pytest.raises(StepError, match="the name 'loss' is taken") as caught:
        graph_names(("values",), "logits", train, ())
    assert caught.value.where == "train.rename"


def test_a_subgraph_reads_the_value_by_its_new_name() -> None:
    make = onnx.helper.make_node
    value = onnx.helper.make_tensor_value_info
    flag, real = onnx.TensorProto.BOOL, onnx.TensorProto.FLOAT
    inner = [
        onnx.helper.make_graph([make(kind, ["add"], [kind])], kind, [], [value(kind, real, [1])])
        for kind in ("Neg", "Abs")
    ]
    graph = onnx.helper.make_graph(
        [
            make("Add", ["end.x", "end.x"], ["add"]),
            make("If", ["end.c"], ["end.y"], then_branch=inner[0], else_branch=inner[1]),
        ],
        "g",
        [value("end.x", real, [1]), value("end.c", flag, [])],
        [value("end.y", real, [1])],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    name_ends(model, {"end.x": "add", "end.c": "Neg", "end.y": "y"})
    onnx.checker.check_model(model, full_check=True)
    feeds = {"add": np.array([3], np.float32), "Neg": np.array(True)}
    found = onnx.reference.ReferenceEvaluator(model).run(["y"], feeds)
    assert np.asarray(next(iter(found))).tolist() == [-6]
