"""References of models that go on learning: stored, run at fixed and free batches, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import BundleError, StepError
from olive_build.proof.quality import measure_quality
from olive_build.proof.reference import read_reference, write_reference
from olive_build.proof.references.logits import LogitsReference
from olive_build.proof.verdict import quality_gates

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.standard_normal((8, 3)).astype(np.float32)
WEIGHT = RANDOM.standard_normal((3, 2)).astype(np.float32)
REFERENCE = LogitsReference({"x": VALUES}, VALUES @ WEIGHT, "y")


def saved(path: Path, batch: int | str, *, output: str = "y", shift: float = 0.0) -> Path:
    """Write the graph of VALUES @ WEIGHT, with something added to the weight."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], [output])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, 2])],
        [numpy_helper.from_array(WEIGHT + np.float32(shift), "w")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(path))
    return path


@pytest.mark.parametrize("batch", ["batch_size", 1, 3])
def test_a_graph_of_a_free_or_fixed_batch_is_held_to_pytorch(
    tmp_path: Path, batch: int | str
) -> None:
    found = measure_quality(saved(tmp_path / "m.onnx", batch), REFERENCE)
    assert found.as_json()["inputs"] == 8
    assert found.against_torch.worst["logits_difference"] < 1e-6
    assert found.against_torch.worst["top1_agreement"] == 1


def test_a_difference_is_the_largest_and_is_held_from_above(tmp_path: Path) -> None:
    quality = measure_quality(saved(tmp_path / "m.onnx", "n", shift=0.01), REFERENCE)
    expected = 0.01 * np.abs(VALUES.sum(axis=1)).max()
    worst = quality.against_torch.worst
    assert worst["logits_difference"] == pytest.approx(expected, rel=1e-3)
    (gate,) = quality_gates(worst, {"logits_difference": 1e-4})
    assert (gate.status, gate.bound) == ("failed", "at most")
    (gate,) = quality_gates(worst, {"logits_difference": 1.0})
    assert gate.status == "passed"


def test_rows_that_are_no_numbers_fail_every_limit() -> None:
    broken = REFERENCE.logits.copy()
    broken[0, 0] = np.nan
    found = REFERENCE.compare(broken, REFERENCE.logits)
    assert found["logits_difference"] > 1e30
    assert found["top1_agreement"] == 7 / 8


def test_one_output_has_no_first_choice() -> None:
    found = REFERENCE.compare(REFERENCE.logits[:, :1], REFERENCE.logits[:, :1])
    assert found == {"logits_difference": 0.0}


def test_a_graph_with_other_names_is_refused(tmp_path: Path) -> None:
    session = open_session(saved(tmp_path / "m.onnx", "n", output="other"))
    with pytest.raises(StepError) as caught:
        REFERENCE.run(session, np.arange(8))
    assert caught.value.what == "the model has other inputs or outputs than its reference"
    assert caught.value.why == "it takes x and gives other; x and y are expected"


def test_what_is_stored_comes_back_and_damage_is_found(tmp_path: Path) -> None:
    write_reference(REFERENCE, tmp_path)
    found = read_reference(tmp_path)
    assert isinstance(found, LogitsReference)
    assert np.array_equal(found.feeds["x"], VALUES)
    assert np.array_equal(found.expected, REFERENCE.logits)
    with (tmp_path / "reference.npz").open("wb") as file:
        np.savez(file, **{"input.x": VALUES[:7], "logits": REFERENCE.logits})
    with pytest.raises(BundleError) as caught:
        read_reference(tmp_path)
    assert caught.value.why == "ValueError: inputs and logits differ in number"
