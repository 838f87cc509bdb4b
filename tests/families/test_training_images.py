"""An image classifier that goes on learning: the model, images as files, and bad ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from labelled_folders import refused

from olive_build.errors import PlanError
from olive_build.families.image_classification import examples, torch_side
from olive_build.families.image_classification.miniature import write_miniature
from olive_build.families.image_classification.preparation import (
    Crop,
    Exact,
    Preparation,
    Resize,
    ShareCrop,
    Shortest,
    Step,
)
from olive_build.families.image_classification.spec import inspect
from olive_build.families.image_classification.training_side import side as training
from olive_build.families.labelled_data import LabelledExamples
from olive_build.families.registry import FAMILIES

LABELS = ("cat", "dog")
LOSS = "cross-entropy"
GREY = {
    "kind": "images",
    "height": 3,
    "width": 4,
    "channels": 1,
    "rescale": 1 / 255,
    "mean": [0.5],
    "std": [0.25],
}
COLOUR = GREY | {"channels": 3, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads of so small a model wait for each other, above all when busy
    made = tmp_path_factory.mktemp("images")
    write_miniature(made)
    yield made
    torch.set_num_threads(before)


def images(count: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 4, channels), dtype=np.uint8)


def read(data: Path, described: dict[str, Any] = GREY, loss: str = LOSS) -> LabelledExamples:
    return examples.read_examples(data, described, data, LABELS, loss)


def netpbm(image: np.ndarray, comment: bytes = b"") -> bytes:
    magic = b"P5" if image.shape[2] == 1 else b"P6"
    return b"%s\n%s%d %d\n255\n%s" % (magic, comment, 4, 3, image.tobytes())


def test_the_family_trains_and_is_built_otherwise_too() -> None:
    assert "train" in FAMILIES["image-classification"].options


def test_the_model_and_its_pixels_are_those_that_are_built(folder: Path) -> None:
    facts, model = inspect(folder), training.load(folder)
    found = training.examples(folder, 2, {}, 7)["pixel_values"]
    assert found.shape == (2, 3, 16, 16) and found.dtype == np.float32
    with torch.no_grad():
        logits = training.forward(model, torch.from_numpy(found)).numpy()
    np.testing.assert_array_equal(logits, torch_side.logits(torch_side.load(folder), found))
    assert training.axes({}) == {"pixel_values": ("batch_size",), "logits": ("batch_size",)}
    described = facts.training_data({})
    made = np.random.default_rng(7).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    assert (described["height"], described["channels"]) == (16, 3)
    np.testing.assert_array_equal(torch_side.pixels_of(facts).prepare(made), found)


@pytest.mark.parametrize(
    ("steps", "is_read"),
    [
        ((), True),
        ((Resize(Exact(3, 4), 2),), True),
        ((Resize(Shortest(3), 2), Crop(3, 4)), True),
        ((Resize(Exact(8, 8), 2), Crop(3, 4)), False),
        ((Resize(Shortest(4), 2), Crop(3, 4)), False),
        ((ShareCrop(0.9, 0.9), Resize(Exact(3, 4), 2)), False),
    ],
    ids=str,
)
def test_what_training_does_not_do_to_images_is_refused_by_the_plan(
    folder: Path, steps: tuple[Step, ...], is_read: bool
) -> None:
    prepared = Preparation(steps, 3, 4, 1 / 255, (0.5,), (0.25,))
    facts = replace(inspect(folder), prepared=prepared)
    if is_read:
        assert facts.training_data({}) == {**GREY, "flips": False}
        return
    with pytest.raises(PlanError, match="does what training does not") as caught:
        facts.training_data({})
    assert "resizes or crops even images of 3 x 4" in (caught.value.why or "")


def test_channels_in_the_other_order_are_learned_from_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=images(2, 3), labels=[0, 1])
    found = read(tmp_path, COLOUR | {"flips": True}).inputs["pixel_values"]
    wanted = (images(2, 3)[..., ::-1] / 255 - COLOUR["mean"]) / COLOUR["std"]
    np.testing.assert_allclose(found, wanted.transpose(0, 3, 1, 2), atol=1e-6)


def test_nothing_is_dropped_while_a_vision_transformer_trains(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
        hidden_dropout_prob=0.5,
        attention_probs_dropout_prob=0.5,
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    model, pixels = training.load(tmp_path), torch.ones(2, 3, 16, 16)
    with torch.no_grad():
        still = training.forward(model, pixels)
        assert torch.equal(training.forward(model.train(), pixels), still)


def test_every_form_of_file_gives_the_same_pixels(tmp_path: Path) -> None:
    cat, dog = images(2, 3)
    files = {"npy": tmp_path / "npy", "ppm": tmp_path / "ppm"}
    for form, data in files.items():
        for label, image in (("cat", cat), ("dog", dog)):
            path = data / label / f"a.{form}"
            path.parent.mkdir(parents=True)
            if form == "npy":
                np.save(path, image)
            else:
                path.write_bytes(netpbm(image, b"# drawn by hand\n"))
    np.savez(tmp_path / "a.npz", images=np.stack([cat, dog]), labels=[0, 1])
    found = [read(data, COLOUR) for data in (*files.values(), tmp_path, tmp_path / "a.npz")]
    scaled = (np.stack([cat, dog]) / 255 - COLOUR["mean"]) / COLOUR["std"]
    for one in found:
        assert one.targets.tolist() == [0, 1]
        pixels = one.inputs["pixel_values"]
        np.testing.assert_allclose(pixels, scaled.transpose(0, 3, 1, 2), atol=1e-6)


def test_grey_images_need_no_axis_of_channels(tmp_path: Path) -> None:
    for label, image in zip(LABELS, images(2), strict=True):
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "a.npy", image[..., 0])
        (tmp_path / label / "b.pgm").write_bytes(netpbm(image))
    pixels = read(tmp_path).inputs["pixel_values"]
    assert pixels.shape == (4, 1, 3, 4)
    np.testing.assert_array_equal(pixels[0], pixels[1])


def test_labels_of_an_archive_may_be_names_or_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=images(2), labels=["dog", "cat"])
    assert read(path).targets.tolist() == [1, 0]
    np.savez(path, images=images(2), labels=np.float32([[0.5, 1], [2, 3]]))
    assert read(path, loss="mse").targets.tolist() == [[0.5, 1], [2, 3]]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((3, 5), np.uint8), "an image is 5 x 3 with 1 channel, and the model takes 4 x 3"),
        (np.zeros((3, 4, 3), np.uint8), "an image is 4 x 3 with 3 channels"),
        (np.zeros((3, 4), np.float32), "its numbers are float32, not uint8"),
        (np.zeros(12, np.uint8), "an image is an array [12]"),
    ],
)
def test_images_that_are_not_the_models(tmp_path: Path, image: np.ndarray, said: str) -> None:
    (tmp_path / "cat").mkdir()
    np.save(tmp_path / "cat" / "a.npy", image)
    text = refused(lambda: read(tmp_path))
    assert said in text and "cat/a.npy" in text


def test_a_wrong_size_comes_with_the_command_that_makes_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    np.save(tmp_path / "cat" / "a.npy", np.zeros((9, 9), np.uint8))
    command = "ffmpeg -i FILE -vf scale=4:3 -pix_fmt gray FILE.pgm"
    assert command in refused(lambda: read(tmp_path))
    (tmp_path / "cat" / "a.npy").rename(tmp_path / "cat" / "a.png")
    said = refused(lambda: read(tmp_path))
    assert "none of the images that are read" in said and command in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it begins neither with P5 nor with P6"),
        (b"P2\n4 3\n255\n" + b"0 " * 12, "it begins neither with P5 nor with P6"),
        (b"P5\n4 3\n65535\n" + bytes(24), "its largest value is 65535; 255 is expected"),
        (b"P5\n4 3\n255\n" + bytes(11), "it holds 11 of 12 bytes"),
    ],
)
def test_broken_netpbm_files(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.pgm").write_bytes(data)
    text = refused(lambda: read(tmp_path))
    assert "an image cannot be read" in text and said in text


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": images(2)}, "labels is not a file in the archive"),
        ({"images": images(2), "labels": [0]}, "`images` are 2, `labels` 1"),
        ({"images": images(0), "labels": []}, "the file of images is empty"),
        ({"images": images(2), "labels": [0, 2]}, "the bundle has no class 2"),
        ({"images": images(2), "labels": ["cat", "dgo"]}, "did you mean 'dog'?"),
        ({"images": images(2), "labels": [1, 1]}, "the examples are all of one class"),
        ({"images": images(2) / 255, "labels": [0, 1]}, "an image does not hold bytes"),
    ],
)
def test_archives_that_cannot_be_learned_from(
    tmp_path: Path, arrays: dict[str, Any], said: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    assert said in refused(lambda: read(tmp_path))


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    assert "the file of images cannot be read" in refused(lambda: read(tmp_path))
    np.save(tmp_path / "b.npy", images(1))
    assert "it is no .npz file, which is an archive" in refused(lambda: read(tmp_path / "b.npy"))


def mp3(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"ID3\x04\x00" + bytes(range(256)) * 8)
    return path


@pytest.mark.parametrize("name", ["cat/a.npy", "cat/a.NPY", "a.npz"])
def test_a_song_with_another_name_is_told_what_it_should_be(tmp_path: Path, name: str) -> None:
    mp3(tmp_path / name)
    said = refused(lambda: read(tmp_path))
    end = name[-4:].lower()
    assert f"it is no {end} file" in said and "numpy.save" in said and name in said
    assert "pickle" not in said and "unsafe" not in said


def test_arrays_of_objects_are_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    np.save(tmp_path / "cat" / "a.npy", np.array([object()]), allow_pickle=True)
    said = refused(lambda: read(tmp_path))
    assert "Object arrays cannot be loaded" in said and "save the image by numpy.save" in said


def test_an_image_of_fractions_comes_with_what_makes_bytes_of_it(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    image = images(1)[0]
    np.save(tmp_path / "cat" / "a.npy", image / 255)
    said = refused(lambda: read(tmp_path))
    assert "(image * 255).round().astype(numpy.uint8)" in said
    np.testing.assert_array_equal((image / 255 * 255).round().astype(np.uint8), image)
