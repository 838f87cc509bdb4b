"""The facts of an image classifier's folder, and what another folder is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from olive_build.errors import PlanError
from olive_build.families.image_classification.preparation import Exact, Resize
from olive_build.families.image_classification.spec import inspect

CONFIG = {"model_type": "resnet", "num_channels": 3, "id2label": {"1": "dog", "0": "cat"}}
PREPARED = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 24, "width": 32},
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.4, 0.5, 0.6],
}


def folder(path: Path, config: Any = None, prepared: Any = None) -> Path:
    for name, given, usual in (
        ("config.json", config, CONFIG),
        ("preprocessor_config.json", prepared, PREPARED),
    ):
        data = {**usual, **given} if isinstance(given, dict) else given or usual
        if data != "none":
            (path / name).write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_the_numbers_come_from_the_model(tmp_path: Path) -> None:
    facts = inspect(folder(tmp_path))
    assert (facts.height, facts.width, facts.channels) == (24, 32, 3)
    assert facts.labels == ("cat", "dog")
    assert facts.prepared.steps == (Resize(Exact(24, 32), 2),)
    assert facts.prepared.rescale == pytest.approx(1 / 255)
    assert (facts.prepared.mean, facts.prepared.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert facts.notes == ()
    assert facts.client_files == ("config.json", "preprocessor_config.json")


@pytest.mark.parametrize(
    ("prepared", "size"),
    [
        ({"size": {"shortest_edge": 40}}, (40, 40)),
        ({"size": 48}, (48, 48)),
        ({"do_center_crop": True, "crop_size": {"height": 20, "width": 16}}, (20, 16)),
        ({"do_center_crop": True, "size": 256, "crop_size": 224}, (224, 224)),
    ],
)
def test_every_way_to_write_a_size(
    tmp_path: Path, prepared: dict[str, Any], size: tuple[int, int]
) -> None:
    facts = inspect(folder(tmp_path, prepared=prepared))
    assert (facts.height, facts.width) == size


def test_what_is_not_done_to_images_changes_nothing(tmp_path: Path) -> None:
    facts = inspect(folder(tmp_path, prepared={"do_rescale": False, "do_normalize": False}))
    prepared = facts.prepared
    assert (prepared.rescale, prepared.mean, prepared.std) == (1, (0, 0, 0), (1, 1, 1))


def test_one_mean_is_for_all_channels(tmp_path: Path) -> None:
    facts = inspect(folder(tmp_path, prepared={"image_mean": 0.5, "image_std": 0.25}))
    assert (facts.prepared.mean, facts.prepared.std) == ((0.5,) * 3, (0.25,) * 3)


def test_sizes_of_config_json_are_of_pictures_that_nothing_resizes(tmp_path: Path) -> None:
    unresized = {"do_resize": False, "size": {"height": 224, "width": 224}}
    facts = inspect(folder(tmp_path, {"image_size": [20, 30]}, unresized))
    assert (facts.height, facts.width, facts.prepared.steps) == (20, 30, ())
    assert facts.notes[0].startswith("pictures are taken as 20 x 30 and no others")


def test_keys_that_no_class_takes_and_keys_of_which_nothing_comes_are_told(tmp_path: Path) -> None:
    more = {"gap": 9, "crop_pct": 1, "device": "cuda", "pad_size": None, "do_pad": False}
    facts = inspect(folder(tmp_path, prepared={**more, "data_format": "channels_first"}))
    assert facts.notes == (
        "preprocessor_config.json has keys that ViTImageProcessor does not take: crop_pct, gap",
        "nothing comes of these keys of preprocessor_config.json: device",
    )


@pytest.mark.parametrize(
    ("config", "labels", "scores"),
    [
        ({"id2label": None}, ("LABEL_0", "LABEL_1"), "softmax"),
        ({"id2label": None, "num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2"), "softmax"),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2"), "softmax"),
        ({"num_labels": 2}, ("cat", "dog"), "softmax"),
        ({"id2label": {"0": "one"}}, ("one",), "sigmoid"),
        ({"problem_type": "multi_label_classification"}, ("cat", "dog"), "sigmoid"),
        ({"problem_type": "regression"}, ("cat", "dog"), "none"),
        ({"problem_type": "single_label_classification"}, ("cat", "dog"), "softmax"),
    ],
)
def test_classes_and_scores_are_those_of_transformers(
    tmp_path: Path, config: dict[str, Any], labels: tuple[str, ...], scores: str
) -> None:
    import transformers

    facts = inspect(folder(tmp_path, config=config))
    assert (facts.labels, facts.scores) == (labels, scores)
    read = transformers.AutoConfig.from_pretrained(str(tmp_path))
    assert tuple(read.id2label[index] for index in range(read.num_labels)) == labels


def test_settings_that_clients_do_not_find_are_written_for_them(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "preprocessor_config.json").unlink()
    (path / "processor_config.json").write_text(json.dumps({"image_processor": PREPARED}))
    facts = inspect(path)
    assert json.loads(facts.written_files["preprocessor_config.json"]) == PREPARED
    assert (facts.height, facts.width) == (24, 32)


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        ({}, 0),
        ({"num_hidden_layers": 12, "num_attention_heads": 6}, 12),
        ({"num_hidden_layers": 4, "num_attention_heads": [3, 6, 12, 24]}, 0),
    ],
)
def test_only_networks_of_one_kind_of_attention_have_layers_to_fuse(
    tmp_path: Path, config: dict[str, Any], layers: int
) -> None:
    assert inspect(folder(tmp_path, config=config)).layers == layers


@pytest.mark.parametrize(
    ("shapes", "weights"),
    [
        ([(8, 3, 3, 3), (10, 8)], "convolutions"),
        ([(8, 3, 4, 4), *[(8, 8)] * 4], "products"),
        ([], "products"),
    ],
    ids=["a network of convolutions", "pictures in pieces, then products", "no weights yet"],
)
def test_the_weights_say_what_they_are_multiplied_by(
    tmp_path: Path, shapes: list[tuple[int, ...]], weights: str
) -> None:
    # Swin names its heads otherwise than ViT, and has its weights in products all the same.
    place = folder(tmp_path, config={"num_heads": [3, 6]})
    tensors = {f"layer{number}": np.zeros(shape) for number, shape in enumerate(shapes)}
    if tensors:
        save_file(tensors, place / "model.safetensors")
    (component,) = inspect(place).components
    assert component.weights == weights


@pytest.mark.parametrize(
    ("config", "prepared", "why"),
    [
        ("none", None, "there is no config.json"),
        (None, "none", "there is no preprocessor_config.json"),
        ("{", None, "Expecting"),
        (None, "[]", "no JSON object"),
        ({"id2label": {}}, None, "from 0"),
        ({"num_labels": "3"}, None, "num_labels of config.json is '3'"),
        ({"num_channels": 4}, None, "4 channels; pictures have 1 or 3"),
        ({"num_channels": 1}, {"do_convert_rgb": True}, "do_convert_rgb makes 3 channels"),
        (
            {"id2label": {"0": "one"}, "problem_type": "single_label_classification"},
            None,
            "and there is one class",
        ),
        ({"id2label": {"1": "one", "2": "two"}}, None, "from 0"),
        ({"id2label": {"a": "b"}}, None, "invalid literal"),
        ('{"model_type": "bert"}', '{"size": 3}', "says which class it is"),
        (None, {"image_processor_type": "FancyImageProcessor"}, "FancyImageProcessor is no image"),
        (None, {"image_processor_type": "PPLCNetImageProcessor"}, "that Pillow serves"),
        (None, {"image_processor_type": "AriaImageProcessor"}, "code of its own (__init__, _pre"),
        (None, {"size": {"longest_edge": 3}}, "size names longest_edge, which transformers does"),
        (None, {"size": {"height": 0, "width": 3}}, "whole numbers of pixels by name"),
        (None, {"size": 3.5}, "size is 3.5; whole numbers of pixels"),
        (None, {"size": None, "default_to_square": 3}, "default_to_square is 3; true or false"),
        (None, {"do_resize": "no"}, "do_resize is 'no'; true or false is expected"),
        (None, {"resample": "bicubic"}, "resample is 'bicubic'"),
        (None, {"resample": 6}, "resample is 6; a number below 6 is expected"),
        (None, {"do_center_crop": True}, "do_center_crop is on and there is no crop_size"),
        (None, {"do_center_crop": True, "crop_size": {"shortest_edge": 3}}, "height and width are"),
        (None, {"do_pad": True, "pad_size": 99}, "pad_size is {'height': 99"),
        (None, {"image_mean": [0.1, 0.2]}, "2 numbers, and images have 3"),
        (None, {"image_mean": "grey"}, "image_mean is 'grey'; numbers are expected"),
        (None, {"image_std": [0.25]}, "1 numbers, and images have 3"),
        (None, {"image_std": [0.1, 0.2, 0.0]}, "has a zero"),
        (None, {"rescale_factor": 0}, "rescale_factor is 0"),
        (None, {"rescale_factor": "1/255"}, "rescale_factor is '1/255'; a number is expected"),
    ],
)
def test_another_folder_is_a_clear_error(
    tmp_path: Path, config: Any, prepared: Any, why: str
) -> None:
    with pytest.raises(PlanError) as caught:
        inspect(folder(tmp_path, config, prepared))
    assert why in (caught.value.why or "")
    assert caught.value.where
