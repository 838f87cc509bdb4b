"""A step that finds nothing to do: left out and told, or an error where the recipe asked for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_graphs import calibration, folder, model, tokens, two_products

from olive_build.errors import StepError
from olive_build.methods.steps.gptq_rounding import GptqRounding
from olive_build.methods.steps.smoothing import Smooth
from olive_build.methods.steps.tables import QuantizeTiedTables
from olive_build.methods.steps.weight_only import QuantizeWeights
from olive_build.steps.fuse import PerTokenScale, TanhGelu
from olive_build.steps.model_check import matching_nodes
from olive_build.steps.notes import IF_THERE, notes_in

STEPS: dict[str, tuple[type[Any], dict[str, Any], str]] = {
    "smooth": (Smooth, {"activations": "per-tensor"}, "no product has a weight of 16,384 values"),
    "per-token": (
        PerTokenScale,
        {"scope": "after-activations"},
        "none has a stored weight and is fed by an activation function",
    ),
    "gelu": (TanhGelu, {}, "the graph has neither com.microsoft BiasGelu nor Gelu"),
    "rounding": (GptqRounding, {}, "no MatMulInteger, MatMulNBits or dequantized weight"),
    "tied": (
        QuantizeTiedTables,
        {"bits": 4, "block_size": 32, "symmetric": False, "accuracy_level": 0, "exclude": ()},
        "no large table is read by Gather and Gemm alone",
    ),
}


def small() -> onnx.ModelProto:
    """x [1, tokens, 128] times a matrix of 128 x 8: below what any method takes."""
    weights = {"w": np.ones((128, 8), np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="only")]
    return model(nodes, weights, {"x": (TensorProto.FLOAT, [1, "tokens", 128])}, "y")


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    made = folder(tmp_path / "model", small())
    feeds = calibration(tmp_path / "calibration", tokens(8))
    return {"model": made, "before": made, "calibration": feeds}


@pytest.mark.parametrize("name", STEPS)
def test_a_default_is_left_out_and_told(inputs: dict[str, Path], tmp_path: Path, name: str) -> None:
    kind, fields, why = STEPS[name]
    out = tmp_path / "out"
    out.mkdir()
    kind(**fields, asked=False).run(inputs, out)
    assert (out / "model.onnx").read_bytes() == (inputs["model"] / "model.onnx").read_bytes()
    (note,) = notes_in(out)
    assert note.startswith("left out: ")
    assert why in note


@pytest.mark.parametrize("name", STEPS)
def test_what_a_recipe_asks_for_is_an_error(
    inputs: dict[str, Path], tmp_path: Path, name: str
) -> None:
    kind, fields, why = STEPS[name]
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(StepError) as caught:
        kind(**fields).run(inputs, out)
    assert why in (caught.value.why or "")
    assert caught.value.hint
    assert not list(out.iterdir())


def test_what_finds_something_does_it_and_tells_nothing(tmp_path: Path) -> None:
    source = folder(tmp_path / "model", two_products())
    PerTokenScale("after-activations", asked=False).run({"model": source}, tmp_path)
    assert notes_in(tmp_path) == ()
    before, after = (onnx.load(path / "model.onnx") for path in (source, tmp_path))
    assert len(after.graph.node) > len(before.graph.node)


def test_a_pattern_of_a_miniature_may_match_nothing_and_is_named(tmp_path: Path) -> None:
    given = [f"{IF_THERE}layer.5.*", f"{IF_THERE}fir*"]
    assert matching_nodes(two_products(), given, tmp_path) == ["first"]
    assert notes_in(tmp_path) == (
        "the pattern 'layer.5.*' was not checked: a miniature has no such layer",
    )


def test_blocks_of_layers_that_a_miniature_lacks_are_left_out(tmp_path: Path) -> None:
    source = folder(tmp_path / "model", two_products())
    blocks = {"algorithm": "rtn", "bits": 8, "block_size": 32, "symmetric": True}
    more = {"accuracy_level": 4, "embeddings": False, "exclude": ()}
    out = tmp_path / "out"
    out.mkdir()
    QuantizeWeights(**blocks, **more, only=(f"{IF_THERE}layer.5.*",)).run({"model": source}, out)
    assert (out / "model.onnx").read_bytes() == (source / "model.onnx").read_bytes()
    assert (
        notes_in(out)[1] == "left out: no product keeps blocks of its own (none is named layer.5.*)"
    )
    with pytest.raises(StepError, match=r"pattern 'layer\.5\.\*' matches no node"):
        QuantizeWeights(**blocks, **more, only=("layer.5.*",)).run({"model": source}, out)
