"""The facts of an image classifier's folder, and what another folder is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from olive_build.errors import PlanError
from olive_build.families.image_classification.spec import inspect

CONFIG = {"model_type": "resnet", "num_channels": 3, "id2label": {"1": "dog", "0": "cat"}}
PREPARED = {
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
    assert facts.rescale == pytest.approx(1 / 255)
    assert (facts.mean, facts.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
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
    assert (facts.rescale, facts.mean, facts.std) == (1, (0, 0, 0), (1, 1, 1))


def test_one_mean_is_for_all_channels(tmp_path: Path) -> None:
    facts = inspect(folder(tmp_path, prepared={"image_mean": 0.5, "image_std": [0.25]}))
    assert (facts.mean, facts.std) == ((0.5,) * 3, (0.25,) * 3)


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
    ("config", "prepared", "why"),
    [
        ("none", None, "there is no config.json"),
        (None, "none", "there is no preprocessor_config.json"),
        ("{", None, "Expecting"),
        (None, "[]", "no JSON object"),
        ({"id2label": {"0": "one"}}, None, "two or more classes"),
        ({"id2label": {"1": "one", "2": "two"}}, None, "from 0"),
        ({"id2label": {"a": "b"}}, None, "invalid literal"),
        ('{"model_type": "bert"}', None, "there is no 'id2label'"),
        (None, {"size": {"longest_edge": 3}}, "there is no 'height'"),
        (None, {"size": {"height": 0, "width": 3}}, "0 x 3"),
        (None, {"do_center_crop": True}, "there is no 'crop_size'"),
        (None, {"image_mean": [0.1, 0.2]}, "2 numbers, and images have 3"),
        (None, {"image_std": [0.1, 0.2, 0.0]}, "has a zero"),
    ],
)
def test_another_folder_is_a_clear_error(
    tmp_path: Path, config: Any, prepared: Any, why: str
) -> None:
    with pytest.raises(PlanError) as caught:
        inspect(folder(tmp_path, config, prepared))
    assert why in (caught.value.why or "")
    assert caught.value.where
