"""Image classifiers: data files, the composed graph, calibration and the miniature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.calibration.inputs import count_inputs, read_inputs
from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.errors import StepError
from olive_build.families import module_of
from olive_build.families.image_classification.calibration import calibration_feeds
from olive_build.families.image_classification.compose import compose
from olive_build.families.image_classification.images import read_images, read_labelled
from olive_build.families.image_classification.miniature import write_miniature
from olive_build.families.image_classification.preparation import Exact, Preparation, Resize
from olive_build.families.image_classification.spec import ImageClassificationFacts, inspect
from olive_build.families.image_classification.torch_side import (
    load,
    logits,
    pixels_of,
    reference,
)
from olive_build.steps.reference import Reference
from olive_build.steps.samples import CalibrationInputs

FACTS = ImageClassificationFacts(
    architecture="x",
    layers=0,
    heads=0,
    prepared=Preparation((), 4, 5, 1.0, (0.0,) * 3, (1.0,) * 3),
    labels=("a", "b"),
    convolutional=True,
)
ANY_SIZE = replace(FACTS, prepared=replace(FACTS.prepared, steps=(Resize(Exact(4, 5), 2),)))
IMAGES = np.zeros((6, 4, 5, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1, 1, 0])


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    write_miniature(folder)
    return folder


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


def test_images_and_labels_are_read_as_they_are(tmp_path: Path) -> None:
    path = save(tmp_path, images=IMAGES, labels=LABELS.astype(np.uint8), more=[1])
    images, labels = read_labelled(path, FACTS, what="the data")
    np.testing.assert_array_equal(images.stored()["images"], IMAGES)
    assert labels.dtype == np.int64
    assert list(labels) == list(LABELS)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"labels": LABELS}, "it has no array 'images', but labels"),
        ({}, "it has no array 'images', but nothing"),
        ({"images": IMAGES}, "it has no array 'labels', but images"),
        ({"images": IMAGES / 255, "labels": LABELS}, "are float64; bytes (uint8) are expected"),
        (
            {"images": IMAGES[..., 0], "labels": LABELS},
            "are [6, 4, 5]; [images, height, width, channels] are expected",
        ),
        (
            {"images": IMAGES.transpose(0, 3, 1, 2), "labels": LABELS},
            "image 0 is [3, 4, 5], and the model takes [4, 5, 3]",
        ),
        ({"images": IMAGES[:, :3], "labels": LABELS}, "0 is [3, 5, 3], and the model takes [4, 5"),
        ({"images": IMAGES.ravel(), "labels": LABELS}, "are [360]; [images, height, width, ch"),
        ({"images": IMAGES.ravel(), "shapes": [[4, 5, 3]]}, "up to 60 bytes, and `images` has [36"),
        ({"images": IMAGES.ravel(), "shapes": [4, 5, 3]}, "`shapes` are whole numbers [images, 3]"),
        ({"images": IMAGES.ravel(), "shapes": [[4.0, 5, 3]]}, "Cannot cast"),
        ({"images": IMAGES.ravel(), "shapes": [[-4, -5, 3]] * 6}, "a side without a pixel"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "it holds no image"),
        ({"images": IMAGES, "labels": LABELS[:4]}, "are int64 [4]; whole numbers [6], one an"),
        ({"images": IMAGES, "labels": LABELS / 1.0}, "are float64 [6]; whole numbers [6]"),
        ({"images": IMAGES, "labels": LABELS + 1}, "of image 1 is 2, and the model has 2 classes"),
        ({"images": IMAGES, "labels": LABELS - 1}, "of image 0 is -1, and the model has 2"),
    ],
)
def test_data_that_is_not_the_models_is_a_clear_error(
    tmp_path: Path, arrays: dict[str, Any], why: str
) -> None:
    path = save(tmp_path, **arrays)
    with pytest.raises(StepError, match="the proof's data does not fit the model") as caught:
        read_labelled(path, FACTS, what="the proof's data")
    assert why in (caught.value.why or "")
    assert caught.value.where == str(path)
    assert "numpy.savez_compressed" in (caught.value.hint or "")


def test_pictures_of_several_sizes_lie_one_after_the_other(tmp_path: Path) -> None:
    given = [np.full((side, 7, 3), side, np.uint8) for side in (2, 9, 2)]
    values = np.concatenate([picture.ravel() for picture in given])
    shapes = [picture.shape for picture in given]
    path = save(tmp_path, images=values, shapes=shapes, labels=[0, 1, 0])
    images, _ = read_labelled(path, ANY_SIZE, what="the data")
    for found, wanted in zip(images, given, strict=True):
        np.testing.assert_array_equal(found, wanted)
    rows = np.array([1, 2, 0])
    assert [list(alike) for alike in images.alike(rows)] == [[1], [2, 0]]
    with pytest.raises(StepError) as caught:
        read_images(path, FACTS, what="the data")
    assert "image 0 is [2, 7, 3], and the model takes [4, 5, 3]" in (caught.value.why or "")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", b"text", None])
def test_a_file_that_is_no_npz_is_a_clear_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StepError, match="the data cannot be read") as caught:
        read_images(path, FACTS, what="the data")
    assert caught.value.why


def test_one_array_and_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(StepError, match="cannot be read") as caught:
        read_images(path, FACTS, what="the data")
    assert "it is no .npz file" in (caught.value.why or "")
    pickled = save(tmp_path, images=np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(StepError, match="cannot be read"):
        read_images(pickled, FACTS, what="the data")


def core(facts: ImageClassificationFacts, *, inner: str = "flat") -> onnx.ModelProto:
    """Return a network with the family's ends: a seeded linear one."""
    width = facts.channels * facts.height * facts.width
    weight = np.random.default_rng(0).standard_normal((width, len(facts.labels)))
    shape = ["batch_size", facts.channels, facts.height, facts.width]
    ends = (("pixel_values", shape), ("logits", ["batch_size", len(facts.labels)]))
    given, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ends)
    nodes = [
        helper.make_node("Flatten", ["pixel_values"], [inner]),
        helper.make_node("MatMul", [inner, "weight"], ["logits"]),
    ]
    tensors = [numpy_helper.from_array(weight.astype(np.float32), "weight")]
    return helper.make_model(
        helper.make_graph(nodes, "core", [given], [made], tensors),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


@pytest.mark.parametrize("inner", ["flat", "image", "probabilities"])
def test_bytes_in_are_what_prepared_pixels_are(miniature: Path, tmp_path: Path, inner: str) -> None:
    facts = inspect(miniature)
    bare, whole = core(facts), compose({"model": core(facts, inner=inner)}, miniature, {})
    onnx.checker.check_model(whole, full_check=True)
    for name, model in (("bare", bare), ("whole", whole)):
        onnx.save(model, str(tmp_path / f"{name}.onnx"))
    images = np.random.default_rng(1).integers(
        0, 256, (3, facts.height, facts.width, facts.channels), dtype=np.uint8
    )
    pixels = pixels_of(facts).prepare(images)
    (wanted,) = run_named(open_session(tmp_path / "bare.onnx"), {"pixel_values": pixels})
    scores, shares = run_named(open_session(tmp_path / "whole.onnx"), {"image": images})
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(shares.argmax(1), wanted.argmax(1))


def test_a_batch_that_is_fixed_stays_fixed(miniature: Path) -> None:
    fixed = core(inspect(miniature))
    for value in (fixed.graph.input[0], fixed.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    whole = compose({"model": fixed}, miniature, {})
    for value in (*whole.graph.input, *whole.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_value == 1


def test_a_core_in_fp16_cannot_be_composed(miniature: Path) -> None:
    half = core(inspect(miniature))
    half.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(StepError, match="'pixel_values' in fp32 is expected") as caught:
        compose({"model": half}, miniature, {})
    assert caught.value.why == "it has pixel_values float16"


def test_the_miniature_is_proved_on_its_own_images(miniature: Path, tmp_path: Path) -> None:
    Reference(module_of("image-classification", "torch_side")).run(
        {"source": miniature, "data": miniature / "test.npz"}, tmp_path
    )
    found = reference(miniature, miniature / "test.npz")
    assert len(set(found.labels)) > 1
    labelled = found.logits[: len(found.labels)]
    assert (labelled.argmax(1) == found.labels).all()
    order = np.sort(labelled, axis=1)
    assert (order[:, -1] - order[:, -2]).min() > 0.05
    assert (tmp_path / "reference.npz").stat().st_size > found.images.values.nbytes


def test_pytorch_is_fp32_whatever_the_weights_are_stored_in(
    miniature: Path, tmp_path: Path
) -> None:
    import torch
    import transformers

    half = transformers.ResNetForImageClassification.from_pretrained(str(miniature)).half()
    half.save_pretrained(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_bytes(
        (miniature / "preprocessor_config.json").read_bytes()
    )
    model = load(tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert logits(model, np.zeros((1, 3, 16, 16), np.float32)).dtype == np.float32


def test_calibration_gives_each_image_as_the_network_takes_it(
    miniature: Path, tmp_path: Path
) -> None:
    data = miniature / "calibration.npz"
    CalibrationInputs(module_of("image-classification", "calibration")).run(
        {"source": miniature, "data": data}, tmp_path
    )
    path = tmp_path / "calibration.npz"
    images = np.load(data)["images"]
    assert count_inputs(path) == len(images)
    first = next(read_inputs(path))
    assert set(first) == {"pixel_values"}
    expected = (images[:1].astype(np.float64) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(first["pixel_values"], expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_calibration_needs_no_labels_and_says_what_it_lacks(
    miniature: Path, tmp_path: Path
) -> None:
    path = save(tmp_path, images=np.zeros((2, 16, 16, 3), np.uint8))
    assert len(list(calibration_feeds(miniature, path))) == 2
    with pytest.raises(StepError, match="the calibration data does not fit the model"):
        list(calibration_feeds(miniature, save(tmp_path, labels=LABELS)))
