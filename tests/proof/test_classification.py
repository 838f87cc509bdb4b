"""Accuracy, agreement and cosines of class scores, and their stored references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from olive_build.errors import BundleError
from olive_build.proof.classification import class_agreement
from olive_build.proof.pictures import Pictures
from olive_build.proof.pixels import Pixels
from olive_build.proof.reference import read_reference, write_reference
from olive_build.proof.references.classification import ClassificationReference
from olive_build.proof.references.embedding import EmbeddingReference
from olive_build.proof.verdict import quality_gates
from olive_build.record.proof import Gate

LABELS = np.array([0, 1, 2, 0])
EXPECTED = np.float32([[9, 1, 0], [0, 9, 1], [0, 9, 8], [9, 0, 1]])  # the third is wrong


def failures(gates: list[Gate]) -> list[Gate]:
    return [gate for gate in gates if gate.status == "failed"]


def reference() -> ClassificationReference:
    images = Pictures.restored({"images": np.arange(16, dtype=np.uint8).reshape(4, 2, 2, 1)})
    pixels = Pixels(1 / 255, (0.5,), (0.25,))
    return ClassificationReference(images, LABELS, EXPECTED, ("a", "b", "c"), pixels)


def test_the_same_scores_lose_nothing() -> None:
    found = class_agreement(EXPECTED, EXPECTED, LABELS)
    assert (found["accuracy"], found["accuracy_loss"], found["top1_agreement"]) == (0.75, 0, 1)
    assert found["cosine_lowest"] == pytest.approx(1)


def test_a_lost_class_counts_in_points_and_a_won_one_below_zero() -> None:
    lost, won = EXPECTED.copy(), EXPECTED.copy()
    lost[0] = [0, 1, 9]
    won[2] = [0, 8, 9]
    assert class_agreement(lost, EXPECTED, LABELS)["accuracy_loss"] == 25
    better = class_agreement(won, EXPECTED, LABELS)
    assert (better["accuracy"], better["accuracy_loss"], better["top1_agreement"]) == (1, -25, 0.75)


def test_scores_that_are_no_numbers_are_wrong_even_where_pytorch_is_wrong_too() -> None:
    broken = EXPECTED.copy()
    broken[[0, 2]] = np.nan
    found = class_agreement(broken, EXPECTED, LABELS)
    assert (found["accuracy"], found["top1_agreement"], found["cosine_lowest"]) == (0.5, 0.5, -1)


def test_a_loss_is_held_from_above_and_accuracy_from_below() -> None:
    figures = class_agreement(EXPECTED, EXPECTED, LABELS) | {"accuracy_loss": 0.6}
    gates = quality_gates(figures, {"accuracy_loss": 0.5, "accuracy": 0.7, "size_mb": 1.0})
    assert [gate.text() for gate in gates] == [
        "accuracy 0.75, at least 0.7: passed",
        "accuracy_loss 0.6, at most 0.5: failed",
    ]
    assert [gate.figure for gate in failures(gates)] == ["accuracy_loss"]


def test_pixels_are_those_of_transformers() -> None:
    from transformers import image_transforms

    images = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    mean, std = [0.1, 0.5, 0.9], [0.2, 0.3, 0.4]
    found = Pixels(1 / 255, tuple(mean), tuple(std)).prepare(images)
    assert found.shape == (3, 3, 5, 4)
    for image, pixels in zip(images, found, strict=True):
        scaled = image_transforms.rescale(image, 1 / 255)
        wanted = image_transforms.normalize(scaled, mean, std, input_data_format="channels_last")
        np.testing.assert_allclose(pixels, wanted.transpose(2, 0, 1), atol=1e-6)


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_reference(reference(), tmp_path)
    read = read_reference(tmp_path)
    assert isinstance(read, ClassificationReference)
    assert (read.names, read.pixels) == (reference().names, reference().pixels)
    np.testing.assert_array_equal(read.images.values, reference().images.values)
    np.testing.assert_array_equal(read.labels, LABELS)
    np.testing.assert_array_equal(read.logits, EXPECTED)


def test_the_same_reference_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_reference(reference(), tmp_path / name)
    for file in ("reference.json", "reference.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_each_kind_is_read_as_what_it_is(tmp_path: Path) -> None:
    ids = (np.array([1, 2]), np.array([1, 3, 2]))
    texts = EmbeddingReference(("a", "b c"), ids, np.float32([[1, 0], [0, 1]]), "mean", True)
    write_reference(texts, tmp_path)
    read = read_reference(tmp_path)
    assert isinstance(read, EmbeddingReference)
    assert read.texts == ("a", "b c")
    assert [list(row) for row in read.token_ids] == [[1, 2], [1, 3, 2]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('"classification"', '"segmentation"'), "of kind 'segmentation' is not known"),
        (('"kind"', '"sort"'), "KeyError: 'kind'"),
        (('"std"', '"deviation"'), "KeyError: 'std'"),
    ],
)
def test_a_damaged_description_is_a_clear_error(
    tmp_path: Path, change: tuple[str, str], why: str
) -> None:
    write_reference(reference(), tmp_path)
    path = tmp_path / "reference.json"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(BundleError, match="references cannot be read") as caught:
        read_reference(tmp_path)
    assert why in (caught.value.why or "")


def test_images_without_their_labels_are_a_clear_error(tmp_path: Path) -> None:
    write_reference(reference(), tmp_path)
    images = reference().images.stored()["images"]
    np.savez(tmp_path / "reference.npz", images=images, labels=LABELS[:2], logits=[])
    with pytest.raises(BundleError) as caught:
        read_reference(tmp_path)
    assert "differ in number" in (caught.value.why or "")
