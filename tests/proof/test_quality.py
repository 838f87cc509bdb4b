"""A file against PyTorch and against its fp32 graph, by itself and in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.proof.pictures import Pictures
from olive_build.proof.pixels import Pixels
from olive_build.proof.quality import measure_quality
from olive_build.proof.references.classification import ClassificationReference

CLASSES = 3
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 2, 2, 1), dtype=np.uint8)
WEIGHT = np.random.default_rng(1).standard_normal((4, CLASSES)).astype(np.float32)
PIXELS = Pixels(1 / 255, (0.5,), (0.25,))
LOGITS = PIXELS.prepare(IMAGES).reshape(20, 4) @ WEIGHT
LABELS = LOGITS.argmax(1)
NAMES = ("a", "b", "c")
REFERENCE = ClassificationReference(
    Pictures.restored({"images": IMAGES}), LABELS, LOGITS, NAMES, PIXELS
)


def write(
    path: Path,
    weight: np.ndarray = WEIGHT,
    *,
    dtype: int = TensorProto.FLOAT,
    output: str = "logits",
    first: bool = True,
    batch: str | int = "n",
) -> Path:
    """Write a linear classifier; with a second output before its logits unless `first`."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["pixel_values"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], [output]),
            helper.make_node("Softmax", [output], ["probabilities"]),
        ],
        "linear",
        [helper.make_tensor_value_info("pixel_values", dtype, [batch, 1, 2, 2])],
        [
            helper.make_tensor_value_info(name, dtype, [batch, weight.shape[1]])
            for name in ((output, "probabilities") if first else ("probabilities", output))
        ],
        [numpy_helper.from_array(weight.astype(helper.tensor_dtype_to_np_dtype(dtype)), "weight")],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    return path


def test_the_graph_itself_has_full_marks_and_no_second_section(tmp_path: Path) -> None:
    found = measure_quality(write(tmp_path / "m.onnx"), REFERENCE).as_json()
    assert found["accuracy"] == found["top1_agreement"] == found["single"]["accuracy"] == 1
    assert found["accuracy_loss"] == 0
    assert found["cosine_lowest"] == pytest.approx(1)
    assert found["images"] == 20
    assert "against_fp32" not in found


def test_logits_are_found_by_name_in_fp16_as_in_fp32(tmp_path: Path) -> None:
    half = write(tmp_path / "m.onnx", dtype=TensorProto.FLOAT16, first=False)
    found = measure_quality(half, REFERENCE).against_torch
    assert found.single["top1_agreement"] == found.batched["top1_agreement"] == 1
    assert 0.99999 < found.single["cosine_lowest"] < 1


@pytest.mark.parametrize("batch", [1, 3])
def test_a_graph_of_fixed_shapes_is_run_in_its_own_batches(tmp_path: Path, batch: int) -> None:
    found = measure_quality(write(tmp_path / "m.onnx", batch=batch), REFERENCE).against_torch
    assert found.single["top1_agreement"] == found.batched["top1_agreement"] == 1
    assert found.batched["cosine_lowest"] == pytest.approx(1)


def test_what_the_variant_lost_is_told_from_what_the_graph_had_lost_before(tmp_path: Path) -> None:
    swapped = WEIGHT[:, [1, 0, 2]]
    base = write(tmp_path / "base.onnx", swapped)
    figures = measure_quality(
        write(tmp_path / "m.onnx", swapped * 1.01), REFERENCE, baseline=base
    ).as_json()
    assert figures["accuracy"] < 0.7
    assert figures["accuracy_loss"] > 30
    against = figures["against_fp32"]
    assert against["accuracy"] == figures["accuracy"]
    assert (against["accuracy_loss"], against["top1_agreement"]) == (0, 1)
    assert against["single"].keys() == against["batched"].keys() == figures["single"].keys()


def test_budgets_are_held_against_the_worse_of_one_by_one_and_in_batches(tmp_path: Path) -> None:
    """A graph that adds what the other images of its batch are is right by itself only."""
    model = onnx.load(str(write(tmp_path / "m.onnx")))
    mixed = helper.make_node("ReduceMax", ["pixel_values"], ["most"], keepdims=1)
    mixed.input.append("axis")
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
    less = helper.make_node("Sub", ["pixel_values", "most"], ["rest"])
    double = helper.make_node("Add", ["rest", "pixel_values"], ["sum"])
    model.graph.node[0].input[0] = "sum"
    for node in (double, less, mixed):
        model.graph.node.insert(0, node)
    onnx.save(model, str(tmp_path / "m.onnx"))
    quality = measure_quality(tmp_path / "m.onnx", REFERENCE)
    figures, found = quality.as_json(), quality.against_torch
    assert found.batched is not None
    assert found.single["accuracy"] == 1
    assert found.batched["accuracy"] == figures["accuracy"] < 1
    assert found.batched["accuracy_loss"] == figures["accuracy_loss"] > 0


@pytest.mark.parametrize(
    ("changes", "what", "why"),
    [
        ({"output": "scores"}, "no output 'logits'", "its outputs are scores, probabilities"),
        ({"weight": WEIGHT[:, :2]}, "another shape than PyTorch's", "[1, 2]; [1, 3] is expected"),
    ],
)
def test_a_file_of_another_kind_is_a_clear_error(
    tmp_path: Path, changes: dict[str, object], what: str, why: str
) -> None:
    with pytest.raises(StepError, match=what.replace("[", r"\[")) as caught:
        measure_quality(write(tmp_path / "m.onnx", **changes), REFERENCE)  # type: ignore[arg-type]
    assert why in (caught.value.why or "")


def test_a_file_that_cannot_run_says_which_and_why(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", WEIGHT[:3])
    with pytest.raises(StepError, match=r"m\.onnx"):
        measure_quality(path, REFERENCE)
