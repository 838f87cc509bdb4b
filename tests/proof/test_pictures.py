"""Pictures of the proof's own: how far a file's pixels and answers may be from transformers'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import StepError
from olive_build.proof.classification import scores_of
from olive_build.proof.pictures import Pictures
from olive_build.proof.pixels import Pixels
from olive_build.proof.quality import measure_quality
from olive_build.proof.reference import read_reference, write_reference
from olive_build.proof.references.classification import ClassificationReference
from olive_build.proof.verdict import quality_gates

PIXELS = Pixels(1 / 255, (0.5,) * 3, (0.25,) * 3)
WEIGHT = np.random.default_rng(1).standard_normal((12, 3)).astype(np.float32)
LABELLED, OWN = 6, 2
IMAGES = np.random.default_rng(0).integers(4, 250, (LABELLED + OWN, 2, 2, 3), dtype=np.uint8)
LOGITS = PIXELS.prepare(IMAGES).reshape(-1, 12) @ WEIGHT
REFERENCE = ClassificationReference(
    Pictures.restored({"images": IMAGES}),
    LOGITS[:LABELLED].argmax(1),
    LOGITS,
    ("a", "b", "c"),
    PIXELS,
    moved=np.full(OWN, 1e-3, np.float32),
    resizes=True,
)


def write(path: Path, *, levels: float = 0, scores: str = "Softmax", wrong: float = 0) -> Path:
    """Write a file that takes bytes; its pixels are off by grey levels, its logits by `wrong`."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["bytes", "levels"], ["moved"]),
        helper.make_node("Mul", ["moved", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["pixel_values"]),
        helper.make_node("Flatten", ["pixel_values"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["product"]),
        helper.make_node("Add", ["product", "wrong"], ["logits"]),
        helper.make_node(scores, ["logits"], ["probabilities"]),
    ]
    constants = {
        "levels": np.float32(levels),
        "scale": np.float32(1 / 255 / 0.25),
        "offset": np.float32(-2),
        "weight": WEIGHT,
        "wrong": np.float32([wrong, 0, 0]),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3])
            for name in ("logits", "probabilities")
        ],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    return path


def figures(path: Path, reference: ClassificationReference = REFERENCE) -> dict[str, float]:
    return measure_quality(path, reference).as_json()


def test_a_file_that_prepares_pictures_shows_how_far_its_pixels_are(tmp_path: Path) -> None:
    same = figures(write(tmp_path / "m.onnx"))
    assert same["pixels_difference"] == 0 and same["picture_agreement"] == 1
    assert same["logits_error"] < 1e-6 and same["images"] == LABELLED + OWN
    for levels, status in ((1, "passed"), (2, "failed")):
        found = figures(write(tmp_path / "m.onnx", levels=levels))
        assert found["pixels_difference"] == levels
        (gate,) = quality_gates(found, {"pixels_difference": 1.0})
        assert gate.status == status


def test_logits_are_held_together_where_the_pixels_are_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", levels=1)
    assert "logits_error" not in figures(path)
    assert figures(path, replace(REFERENCE, resizes=False))["logits_error"] > 1e-3
    wrong = figures(write(tmp_path / "m.onnx", wrong=0.1))
    assert wrong["logits_error"] == pytest.approx(0.1 / np.abs(LOGITS).max(), rel=1e-3)


def test_a_file_that_shows_no_pixels_is_held_by_the_pictures_that_stay_as_they_are(
    tmp_path: Path,
) -> None:
    session = open_session(write(tmp_path / "m.onnx", levels=1))  # knows nothing of its inside
    assert "pixels_difference" not in measure_quality(session, REFERENCE).as_json()
    assert measure_quality(session, REFERENCE).as_json()["logits_error"] > 1e-3
    resized = replace(REFERENCE, prepared=IMAGES + np.uint8(1))
    assert "logits_error" not in measure_quality(session, resized).as_json()
    assert measure_quality(session, resized).as_json()["picture_agreement"] == 1


def test_another_class_counts_unless_a_grey_level_could_make_it(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", wrong=1000)
    assert figures(path)["picture_agreement"] < 1
    tied = replace(REFERENCE, moved=np.full(OWN, 1e6, np.float32))
    assert figures(path, tied)["picture_agreement"] == 1


@pytest.mark.parametrize(("operator", "scores"), [("Softmax", "sigmoid"), ("Sigmoid", "softmax")])
def test_scores_of_another_kind_are_a_clear_error(
    tmp_path: Path, operator: str, scores: str
) -> None:
    path = write(tmp_path / "m.onnx", scores=operator)
    with pytest.raises(StepError, match="are not what transformers makes of its logits") as caught:
        figures(path, replace(REFERENCE, scores=scores))
    assert f"that is their {scores}" in (caught.value.why or "")
    right = {"Softmax": "softmax", "Sigmoid": "sigmoid"}[operator]
    assert figures(path, replace(REFERENCE, scores=right))["accuracy"] == 1


def test_scores_are_those_of_transformers_pipeline() -> None:
    from transformers.pipelines import image_classification

    for name in ("softmax", "sigmoid"):
        wanted = getattr(image_classification, name)(LOGITS)
        np.testing.assert_allclose(scores_of(LOGITS, name), wanted, atol=1e-6)
    np.testing.assert_array_equal(scores_of(LOGITS, "none"), LOGITS)
    with pytest.raises(ValueError, match="no function 'relu'"):
        scores_of(LOGITS, "relu")


def test_pictures_of_several_sizes_are_read_as_they_were_written(tmp_path: Path) -> None:
    pictures = [np.full((side, 5, 3), side, np.uint8) for side in (3, 2, 3)]
    logits, prepared = LOGITS[:3], IMAGES[:3]
    reference = replace(
        REFERENCE,
        images=Pictures.of(pictures),
        labels=np.array([0]),
        logits=logits,
        prepared=prepared,
        scores="sigmoid",
    )
    write_reference(reference, tmp_path)
    read = read_reference(tmp_path)
    assert isinstance(read, ClassificationReference)
    assert (read.scores, read.resizes, read.pixels) == ("sigmoid", True, PIXELS)
    for one, other in zip(read.images, pictures, strict=True):
        np.testing.assert_array_equal(one, other)
    assert read.prepared is not None and read.moved is not None
    np.testing.assert_array_equal(read.prepared, prepared)
    assert sorted(len(rows) for rows in read.batches()) == [1, 2]


def test_bytes_of_pixels_are_found_again() -> None:
    for pixels in (PIXELS, replace(PIXELS, flips=True, std=(0.2, 0.3, 0.4))):
        prepared = pixels.prepare(IMAGES)
        np.testing.assert_array_equal(pixels.restore(prepared), IMAGES)
        moved = pixels.levels(pixels.prepare(IMAGES + np.uint8(1)) - prepared)
        np.testing.assert_allclose(moved, 1, atol=1e-3)
