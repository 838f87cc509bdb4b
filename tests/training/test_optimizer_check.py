"""The optimizer's file is read, and each setting of another recipe named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from olive_build.training.graph_reader import read_graph
from olive_build.training.optimizer_check import optimizer_differences, read_with_onnx
from olive_build.training.optimizers import optimizer_model
from olive_build.training.settings import Optimizer

ADAMW = Optimizer("adamw", 1e-4)


def differences(
    tmp_path: Path,
    written: Optimizer,
    *,
    rate: float = 1e-4,
    file_scale: float = 1.0,
    scale: float = 1.0,
    wanted: Optimizer = ADAMW,
) -> list[str]:
    path = tmp_path / "optimizer_model.onnx"
    onnx.save(optimizer_model(written, 18, file_scale), str(path))
    assert read_graph(path) == read_with_onnx(path)
    return optimizer_differences(read_graph(path), wanted, rate, scale)


def test_the_recipes_own_is_no_difference(tmp_path: Path) -> None:
    assert differences(tmp_path, ADAMW) == []
    assert differences(tmp_path, ADAMW, file_scale=0.1, scale=0.1) == []
    sgd = Optimizer("sgd", 1e-4)
    assert differences(tmp_path, sgd, wanted=sgd) == []


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"betas": (0.8, 0.999)}, "alpha is 0.8, not 0.9"),
        ({"betas": (0.9, 0.99)}, "beta is 0.99, not 0.999"),
        ({"eps": 1e-6}, "epsilon is 1e-06, not 1e-08"),
        ({"weight_decay": 0.0}, "weight_decay is 0, not 0.01"),
        ({"weight_decay": 0.0101}, "weight_decay is 0.0101, not 0.01"),
    ],
)
def test_each_number_is_read(tmp_path: Path, changed: dict[str, Any], text: str) -> None:
    assert differences(tmp_path, replace(ADAMW, **changed)) == [text]


def test_another_kind_is_named(tmp_path: Path) -> None:
    found = differences(tmp_path, Optimizer("sgd", 1e-4))
    assert "operator is com.microsoft.SGDOptimizerV2, not com.microsoft.AdamWOptimizer" in found
    path = tmp_path / "optimizer_model.onnx"
    model = optimizer_model(ADAMW, 18)
    next(item for item in model.graph.node[0].attribute if item.name == "adam_mode").i = 1
    onnx.save(model, str(path))
    assert optimizer_differences(read_graph(path), ADAMW, 1e-4, 1.0) == ["adam_mode is 1, not 0"]
    del model.graph.node[:]
    onnx.save(model, str(path))
    assert optimizer_differences(read_graph(path), ADAMW, 1e-4, 1.0) == ["it has 0 optimizers"]


def test_the_rate_is_followed(tmp_path: Path) -> None:
    assert differences(tmp_path, ADAMW, rate=1e-3) == ["the learning rate is 0.001, not 0.0001"]
    assert differences(tmp_path, ADAMW, file_scale=0.1) == ["it multiplies the rate by 0.1, not 1"]
    assert differences(tmp_path, ADAMW, file_scale=0.2, scale=0.2) == [
        "a client that sets no rate has 0.0002"
    ]
    path = tmp_path / "optimizer_model.onnx"
    model = optimizer_model(ADAMW, 18)
    model.graph.node[0].input[0] = "step"
    onnx.save(model, str(path))
    assert optimizer_differences(read_graph(path), ADAMW, 1e-4, 1.0) == [
        "the learning rate of the client does not reach it"
    ]
