"""Every image processor of transformers' classifiers, each switch on, off and absent.

Equal to the library's pixels, or refused with the key: never something else.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_processors import classifiers_processors, outcome, read, saved, small, written
from PIL import Image
from transformers import AutoImageProcessor

from olive_build.families.image_classification import processors_generate
from olive_build.families.image_classification.processor import table
from olive_build.families.image_classification.shown_code import picture_code

KINDS = classifiers_processors()
# Their models take no pixels: ImageGPT's takes the numbers of colours, Siglip2's patches and masks.
OTHER_INPUTS = ("ImageGPTImageProcessor", "Siglip2ImageProcessor")
PIXELS = [name for name in KINDS if name not in OTHER_INPUTS]
MORE_SWITCHES = ("default_to_square", "include_top", "rescale_offset")
Outcomes = dict[tuple[str, str, object], str]


def switches(kind: Any) -> list[str]:
    keys = kind.valid_kwargs.__annotations__
    return [key for key in sorted(keys) if key.startswith("do_") or key in MORE_SWITCHES]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    folder, found = tmp_path_factory.mktemp("processors"), {}
    for name, kind in KINDS.items():
        for switch in switches(kind):
            for value in (True, False, "absent"):
                settings = saved(folder, kind, **small(name, kind))
                settings.pop(switch, None)
                changed = settings if value == "absent" else {**settings, switch: value}
                found[name, switch, value] = outcome(written(folder, changed))
    return found


def test_each_switch_of_each_class_is_the_librarys_or_refused(outcomes: Outcomes) -> None:
    third = {
        cell: text
        for cell, text in outcomes.items()
        if text != "equal" and not text.startswith("refused: ")
    }
    assert third == {}
    assert len({name for name, _, _ in outcomes}) >= 20


def test_nine_of_ten_are_built(outcomes: Outcomes) -> None:
    count = Counter(text == "equal" for text in outcomes.values())
    assert count[True] / len(outcomes) >= 0.9
    assert [name for name in PIXELS if outcomes[name, "do_resize", "absent"] != "equal"] == []


def test_a_refusal_names_the_key_or_the_class(outcomes: Outcomes) -> None:
    for (name, switch, _), text in outcomes.items():
        if text != "equal" and name not in OTHER_INPUTS:
            assert switch in text
        elif text != "equal":
            assert f"refused: {name}: the class has code of its own" in text


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("layout", ["nested", "beside", "fast", "pil", "old", "by-model"])
def test_each_layout_of_the_files_is_read_as_the_library_reads_it(
    tmp_path: Path, name: str, layout: str
) -> None:
    settings = saved(tmp_path, KINDS[name], **small(name, KINDS[name]))
    nested = tmp_path / "processor_config.json"
    if layout == "nested":  # as version 5 saves a processor: alone, with the parts in it
        (tmp_path / "preprocessor_config.json").unlink()
        nested.write_text(json.dumps({"image_processor": settings, "processor_class": "X"}))
    elif layout == "beside":  # as some of version 4 saved it: a class alone, and says nothing
        nested.write_text('{"processor_class": "CLIPProcessor"}')
    else:
        kind = settings.pop("image_processor_type")
        types = {
            "fast": {"image_processor_type": f"{kind}Fast"},
            "pil": {"image_processor_type": f"{kind}Pil"},
            "old": {"feature_extractor_type": kind.replace("ImageProcessor", "FeatureExtractor")},
            "by-model": {},
        }
        models = [m for m, named in table()["models"].items() if named == name]
        written(tmp_path, {**settings, **types[layout]}, model_type=models[0])
    assert outcome(tmp_path) == "equal"


def test_every_switch_off_its_default_changes_the_plan_or_is_refused(tmp_path: Path) -> None:
    silent = []
    for name in PIXELS:
        settings = saved(tmp_path, KINDS[name], **small(name, KINDS[name]))
        usual = read(written(tmp_path, settings))
        for switch in switches(KINDS[name]):
            default = bool(settings.get(switch, getattr(KINDS[name], switch, None)))
            folder = written(tmp_path, {**settings, switch: not default})
            told = outcome(folder, sizes=())
            if not (switch in told if told.startswith("refused") else read(folder) != usual):
                silent.append((name, switch))
    assert silent == []


@pytest.mark.parametrize("filter_", range(6))
@pytest.mark.parametrize(
    "size",
    [
        {"height": 20, "width": 31},
        {"shortest_edge": 33},
        {"shortest_edge": 30, "longest_edge": 41},
        {"max_height": 44, "max_width": 30},
        35,
        [21, 30],
    ],
    ids=str,
)
def test_each_size_and_filter_is_pillows(tmp_path: Path, size: Any, filter_: int) -> None:
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "size": size,
        "resample": filter_,
        "do_center_crop": True,
        "crop_size": 29,
    }
    sizes = ((61, 40), (40, 61), (300, 20), (7, 5), (1, 1), (64, 96), (33, 33))
    assert outcome(written(tmp_path, settings), sizes) == "equal"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"size": {"shortest_edge": 30, "longest_edge": 41}},
        {"size": {"max_height": 44, "max_width": 30}},
        {"do_normalize": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", PIXELS)
def test_the_python_that_is_shown_makes_the_librarys_pixels(
    tmp_path: Path, name: str, more: dict[str, Any]
) -> None:
    settings = {**saved(tmp_path, KINDS[name], **small(name, KINDS[name])), **more}
    if "size" in more:
        settings["do_center_crop"] = True  # so that sizes which follow the picture end in one
    if outcome(written(tmp_path, settings)) != "equal":
        return  # refused: nothing is shown
    prepared = read(tmp_path)
    library = AutoImageProcessor.from_pretrained(str(tmp_path), backend="pil")
    sizes = ((61, 40), (40, 61), (9, 5)) if prepared.steps else ((prepared.height, prepared.width),)
    for height, width in sizes:
        values = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        picture = Image.fromarray(values)
        known: dict[str, Any] = {"np": np, "Image": Image, "picture": picture}
        exec(picture_code(prepared, "pixel_values")["prepare"], known)  # noqa: S102 - ours
        wanted = np.asarray(library(images=picture, return_tensors="np")["pixel_values"])
        np.testing.assert_allclose(known["pixels"], wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("turns", [True, False])
@pytest.mark.parametrize("size", [[40, 30], [30, 40], [33, 33]], ids=str)
def test_donut_turns_shrinks_and_frames_as_the_library_does(
    tmp_path: Path, size: list[int], turns: bool
) -> None:
    settings = {
        "image_processor_type": "DonutImageProcessor",
        "size": size,
        "do_align_long_axis": turns,
        "resample": 0,  # which the class takes for none, where it makes a thumbnail
    }
    assert outcome(written(tmp_path, settings), ((91, 400), (200, 190), (3, 5))) == "equal"


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    settings = {"image_processor_type": "ViTImageProcessor", "image_mean": 0.4, "image_std": [0.3]}
    settings["size"] = {"height": 20, "width": 24}
    assert outcome(written(tmp_path, settings), channels=1) == "equal"
    folder = written(tmp_path, {**settings, "do_convert_rgb": True})
    assert "do_convert_rgb makes 3 channels" in outcome(folder, channels=1)


def test_the_table_of_classes_is_that_of_the_installed_transformers() -> None:
    """Else: python -m olive_build.families.image_classification.processors_generate."""
    assert json.loads(processors_generate.text_of(processors_generate.generate())) == table()
