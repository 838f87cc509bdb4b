"""What is generated: the files, their bytes, what is frozen, and what is said when it fails."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from olive_build.errors import StepError
from olive_build.training.artifacts import check_versions

from .small_training import TRAIN, Dense, Images, generated, in_toolchain, prepared, proved

ALL_FILES = {
    "training_model.onnx",
    "eval_model.onnx",
    "optimizer_model.onnx",
    "training_model.ort",
    "eval_model.ort",
    "optimizer_model.ort",
    "required_operators.config",
    "checkpoint",
    "nominal_checkpoint",
    "model.onnx",
    "training.json",
}
FROZEN = ("low.weight", "low.bias")


@pytest.fixture(scope="module")
def images(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder `m` and its artifacts `a`: frozen, nominal, ORT form."""
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("images")
    train = replace(TRAIN, nominal_checkpoint=True)
    prepared(Images(), base / "m", shape=(1, 8, 8), frozen=FROZEN, train=train)
    assert generated(training_python, base / "m", base / "a", "ort") == ""
    return base


def test_all_files_are_there_and_old_enough(images: Path) -> None:
    assert {path.name for path in (images / "a").iterdir()} == ALL_FILES
    for path in (images / "a").glob("*.onnx"):
        model = onnx.load(str(path))
        assert model.ir_version <= 10, path.name
        opsets = {opset.domain: opset.version for opset in model.opset_import}
        assert opsets[""] <= 21, path.name


def test_other_processes_write_the_same_bytes(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    def digests(folder: Path) -> dict[str, str]:
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}

    # Hash maps and stale memory differ at some runs only.
    for again in (tmp_path / "one", tmp_path / "two"):
        assert generated(training_python, images / "m", again, "ort") == ""
        assert digests(again) == digests(images / "a")


def test_no_path_of_this_machine_is_in_a_file(images: Path) -> None:
    for path in (images / "a").iterdir():
        assert str(images).encode() not in path.read_bytes(), path.name
        assert b"/site-packages/" not in path.read_bytes(), path.name


def test_clients_feed_the_inputs_then_the_target(images: Path) -> None:
    model = onnx.load(str(images / "a" / "training_model.onnx"))
    names = [value.name for value in model.graph.input]
    assert names[:2] == ["x", "labels"]
    assert [value.name for value in model.graph.output][1] == "logits"
    evaluation = onnx.load(str(images / "a" / "eval_model.onnx"))
    assert [value.name for value in evaluation.graph.output][1:] == ["logits"]


def test_parameters_lie_in_the_checkpoint_alone(images: Path) -> None:
    for name in ("training_model.onnx", "eval_model.onnx"):
        inside = {item.name for item in onnx.load(str(images / "a" / name)).graph.initializer}
        assert not inside & {"low.weight", "high.weight", "head.weight"}


def test_inference_is_the_untrained_model(images: Path) -> None:
    import onnxruntime

    with np.load(images / "m" / "steps.npz") as steps:
        x = steps["input.x"][0]
    run = [
        onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
        for path in (images / "m" / "model.onnx", images / "a" / "model.onnx")
    ]
    assert [len(outputs) for outputs in run] == [1, 1]
    np.testing.assert_allclose(run[1][0], run[0][0], atol=1e-6)


def test_the_reduced_build_has_what_trains(images: Path) -> None:
    text = (images / "a" / "required_operators.config").read_text()
    for operator in ("ConvGrad", "AdamWOptimizer", "SoftmaxCrossEntropyLoss", "InPlaceAccumulator"):
        assert operator in text
    assert not any(line.startswith("#") for line in text.splitlines())


MISSING = """
import onnx
from olive_build.proof.required_operators import missing_from_config
from olive_build.training.ort_form import _as_ort
folder, scratch = Path(sys.argv[1]), Path(sys.argv[2])
config = folder / "required_operators.config"
found = {}
for path in sorted(folder.glob("*.onnx")):
    optimized = _as_ort(path, scratch, is_optimized=True).with_suffix(".onnx")
    for graph in (path, optimized):
        # Types that the file does not name are inferred.
        typed = onnx.shape_inference.infer_shapes(onnx.load(str(graph)))
        found[f"{path.name} {graph == path}"] = missing_from_config(typed, config)
print(json.dumps(found))
"""


class Lengths(nn.Module):
    """Computes with sizes: whole numbers that are added, cast and sliced, with constants."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(x.shape[0]) + 1
        mask = (rows[:, None] + torch.arange(8) > 0).to(x.dtype)
        hidden = nn.functional.gelu(self.norm(x[:, :8]) * mask)
        return self.head(hidden + torch.tensor([0.5]))


@pytest.mark.parametrize("module", [Images, Lengths])
def test_the_reduced_build_covers_every_file_in_every_form(
    images: Path, training_python: Path, tmp_path: Path, module: type[nn.Module]
) -> None:
    """An application exports with eval_model.onnx and runs what it exported, at any level."""
    artifacts = images / "a"
    if module is not Images:
        artifacts = tmp_path / "a"
        prepared(module(), tmp_path / "m", shape=(9,))
        assert generated(training_python, tmp_path / "m", artifacts, "ort") == ""
    said = in_toolchain(training_python, MISSING, artifacts, tmp_path / "scratch")
    found = json.loads(said)
    assert len(found) == 8
    assert not any(found.values()), found


def test_without_ort_only_onnx_is_written(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    folder = prepared(Dense(), tmp_path / "m")
    assert generated(training_python, folder, tmp_path / "a") == ""
    ending = {"ort", "config"}
    assert not [p for p in (tmp_path / "a").iterdir() if p.suffix[1:] in ending]
    assert not (tmp_path / "a" / "nominal_checkpoint").exists()


def test_a_large_constant_is_stored_once(training_python: Path, tmp_path: Path) -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)
            self.register_buffer("table", torch.randn(1024, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x + (x @ self.table.T) @ self.table * 0.01)

    folder = prepared(Table(), tmp_path / "m")
    assert generated(training_python, folder, tmp_path / "a") == ""
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "a").iterdir()}
    assert sizes["checkpoint"] > 4 * 1024 * 6
    assert max(sizes["training_model.onnx"], sizes["eval_model.onnx"]) < 4 * 1024 * 6
    figures = proved(training_python, folder, tmp_path / "a", tmp_path / "p")
    assert figures["losses_difference"] < 1e-5
    assert figures["frozen_identical"]


def test_inputs_are_put_into_the_described_order(training_python: Path, tmp_path: Path) -> None:
    folder = prepared(Dense(), tmp_path / "m")
    described = json.loads((folder / "training.json").read_text())
    described["inputs"].append({"name": "mask", "type": "float32", "axes": ["batch_size", 6]})
    (folder / "training.json").write_text(json.dumps(described))
    said = generated(training_python, folder, tmp_path / "a")
    assert "the graph's inputs are not those that training.json describes" in said
    assert "the graph has x, training.json x, mask" in said


def hand_made(folder: Path, nodes: list[Any], **fields: Any) -> Path:
    """Write a prepared folder: x [2, 4] through `nodes` to y, with the parameters w and w2."""
    folder.mkdir()
    arrays = {"w": np.ones((4, 4), np.float32), "w2": np.ones(4, np.float32)}
    arrays |= fields.get("arrays", {})
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "hand-made",
        [value("x", TensorProto.FLOAT, [2, 4])],
        [value("y", TensorProto.FLOAT, [2, 4])],
        [numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )
    opset = [helper.make_opsetid("", fields.get("opset", 17))]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, folder / "model.onnx")
    described = {
        "inputs": [{"name": "x", "type": "float32", "axes": [2, 4]}],
        "target": {"name": "labels", "type": "int64", "axes": [2]},
        "outputs": ["y"],
        "trainable": [{"name": name} for name in fields.get("trainable", ["w"])],
        "frozen": [],
    }
    (folder / "training.json").write_text(json.dumps(described))
    from dataclasses import asdict

    (folder / "train.json").write_text(json.dumps(asdict(TRAIN)))
    return folder


LINEAR = helper.make_node("MatMul", ["x", "w"], ["a"], name="layers.0/MatMul")
SMALL_LINEAR = helper.make_node("MatMul", ["x", "w"], ["y"], name="layers.0/MatMul")
REFUSALS: dict[str, tuple[list[Any], dict[str, Any], list[str]]] = {
    "no gradient": (
        [LINEAR, helper.make_node("HardSwish", ["a"], ["y"], name="layers.1/act")],
        {},
        [
            "onnxruntime has no gradient for the operator HardSwish",
            "at:      node `layers.1/act`",
            "freeze what lies below it",
        ],
    ),
    "unreachable": (
        [
            LINEAR,
            helper.make_node("ArgMax", ["a"], ["i"], name="arg", axis=1),
            helper.make_node("Cast", ["i"], ["j"], name="cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["j", "x"], ["y"], name="mul"),
        ],
        {},
        ["the loss does not depend on `w`, which is to be trained"],
    ),
    "unused": (
        [SMALL_LINEAR],
        {"trainable": ["w", "w2"]},
        ["the loss does not depend on `w2`, which is to be trained"],
    ),
    "missing": (
        [SMALL_LINEAR],
        {"trainable": ["head.weight"]},
        ["the graph has no parameter `head.weight`", "at:      model.onnx"],
    ),
    "integers": (
        [SMALL_LINEAR],
        {"trainable": ["ids"], "arrays": {"ids": np.ones(3, np.int64)}},
        ["the parameter `ids` is int64, and only float32 can be trained"],
    ),
    "nothing": ([SMALL_LINEAR], {"trainable": []}, ["there is nothing to train"]),
    "opset": ([SMALL_LINEAR], {"opset": 22}, ["model.onnx has opset 22", "opset: 18"]),
    "one output of LayerNormalization": (
        [LINEAR, helper.make_node("LayerNormalization", ["a", "w2"], ["y"], name="norm")],
        {},
        ["onnxruntime cannot build the training graph", "gradient_builder_base.h"],
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSALS))
def test_a_refusal_says_what_and_where(training_python: Path, tmp_path: Path, case: str) -> None:
    nodes, fields, texts = REFUSALS[case]
    said = generated(training_python, hand_made(tmp_path / "m", nodes, **fields), tmp_path / "a")
    for text in texts:
        assert text in said
    assert "Traceback" not in said and "std::" not in said


def test_a_good_build_prints_nothing(training_python: Path, tmp_path: Path) -> None:
    # The gradient builder's hundreds of lines are kept back; in_toolchain shows standard output.
    folder = prepared(Dense(), tmp_path / "m")
    code = "import os; os.dup2(1, 2)\n"
    from .small_training import GENERATE

    assert in_toolchain(training_python, code + GENERATE, folder, tmp_path / "a", "ort") == ""


def test_outside_of_the_toolchain_it_says_so() -> None:
    from olive_build.training.runtime import training_runtime

    with pytest.raises(StepError, match="the training runtime is not in this environment") as info:
        training_runtime()
    assert "built without training" in (info.value.why or "")
    assert "doctor" in (info.value.hint or "")


def test_no_torch_is_left_behind(training_python: Path) -> None:
    code = """
from olive_build.training.runtime import training_runtime
training_runtime()
print("torch" in sys.modules)
"""
    assert in_toolchain(training_python, code) == "False\n"


def test_a_file_that_is_too_new_is_refused(images: Path, tmp_path: Path) -> None:
    source = images / "a" / "model.onnx"
    check_versions(source)
    model = onnx.load(str(source))
    model.ir_version = 11
    onnx.save(model, str(tmp_path / "new.onnx"))
    with pytest.raises(StepError, match=r"new\.onnx has IR version 11"):
        check_versions(tmp_path / "new.onnx")
    model.ir_version = 10
    model.opset_import[0].version = 22
    onnx.save(model, str(tmp_path / "newer.onnx"))
    with pytest.raises(StepError, match=r"IR version 10 and opset 22"):
        check_versions(tmp_path / "newer.onnx")
