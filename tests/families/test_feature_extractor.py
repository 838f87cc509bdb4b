"""Settings of feature extractors are read as transformers reads them, or refused by name."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from olive_build.errors import PlanError
from olive_build.families.audio_classification.examples import prepared
from olive_build.families.audio_classification.spec import inspect as facts_of
from olive_build.families.feature_extractor import CLASSES, COMMON, OF_NO_EFFECT, read_extractor

WAV2VEC2 = "Wav2Vec2FeatureExtractor"
HANDLED = {
    WAV2VEC2: ("sampling_rate", "do_normalize"),
    "WhisperFeatureExtractor": (
        "feature_size",
        "sampling_rate",
        "hop_length",
        "chunk_length",
        "n_fft",
    ),
}
OFF = {
    "feature_size": 24,
    "sampling_rate": 8_000,
    "hop_length": 80,
    "chunk_length": 3,
    "n_fft": 200,
    "padding_value": 0.5,
    "dither": 0.1,
    "do_normalize": False,
    "padding_side": "left",
    "return_attention_mask": True,
}
SWITCHES = [(kind, key) for kind, keys in CLASSES.items() for key in {**keys, **COMMON}]


def refused(folder: Path, why: str) -> PlanError:
    return PlanError("not this family", where=str(folder), why=why)


def read(folder: Path, kind: str) -> dict[str, Any]:
    return dict(read_extractor(folder, kind, HANDLED[kind], refused).settings)


@pytest.mark.parametrize("kind", CLASSES)
def test_settings_and_defaults_are_those_of_the_class(kind: str) -> None:
    parameters = inspect.signature(getattr(transformers, kind).__init__).parameters
    own = {name: value.default for name, value in parameters.items()}
    assert CLASSES[kind] == {name: own[name] for name in own if name not in ("self", "kwargs")}


def save(kind: str, key: str, value: Any, layout: str, out: Path) -> Any:
    """Save the library's own extractor with a setting at `value`, and return what it loads."""
    library = getattr(transformers, kind)
    saved = library(**({} if value is ... else {key: value})).to_dict()
    if value is ...:
        saved.pop(key, None)
    preprocessor = json.dumps({"feature_extractor_type": kind, **saved})
    if layout != "5":
        (out / "preprocessor_config.json").write_text(preprocessor)
    if layout == "5":
        processor = {"feature_extractor": json.loads(preprocessor)}
        (out / "processor_config.json").write_text(json.dumps(processor))
    elif layout == "both":
        (out / "processor_config.json").write_text('{"processor_class": "WhisperProcessor"}')
    return library.from_pretrained(out)


CELLS = [
    (kind, key, value)
    for kind, key in SWITCHES
    for value in (..., {**CLASSES[kind], **COMMON}[key], OFF[key])
]


def is_built(kind: str, key: str, value: Any) -> bool:
    same = value is ... or value == {**CLASSES[kind], **COMMON}[key]
    return same or key in (*HANDLED[kind], *OF_NO_EFFECT[kind])


def test_nine_of_ten_settings_are_built() -> None:
    assert sum(is_built(*cell) for cell in CELLS) >= 0.9 * len(CELLS)


@pytest.mark.parametrize("layout", ["4", "5", "both"])
@pytest.mark.parametrize(("kind", "key", "value"), CELLS)
def test_a_switch_is_read_as_the_library_reads_it_or_refused(
    kind: str, key: str, value: Any, layout: str, tmp_path: Path
) -> None:
    expected = save(kind, key, value, layout, tmp_path)
    if not is_built(kind, key, value):
        with pytest.raises(PlanError, match=f"{key} is .* not built"):
            read(tmp_path, kind)
        return
    found = read(tmp_path, kind)
    assert found == {name: getattr(expected, name) for name in found}
    if kind == WAV2VEC2:
        check_clip(tmp_path, expected)


def check_clip(folder: Path, library: Any) -> None:
    """Hold our clip against the library's own."""
    transformers.Wav2Vec2Config(conv_dim=(8,) * 7).save_pretrained(folder)
    clip = np.random.default_rng(0).normal(0.3, 0.2, 4_000).astype(np.float32)
    expected = library(clip, sampling_rate=library.sampling_rate, return_tensors="np").input_values
    ours = prepared([clip], facts_of(folder).training_data({}))
    assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("normalize", [True, False, ...])
def test_clips_are_prepared_as_the_library_prepares_them(normalize: Any, tmp_path: Path) -> None:
    config = transformers.Wav2Vec2Config(conv_dim=(8,) * 7, architectures=["Wav2Vec2Model"])
    config.save_pretrained(tmp_path)
    given = {} if normalize is ... else {"do_normalize": normalize}
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"feature_extractor_type": WAV2VEC2, **given}))
    clip = np.random.default_rng(0).normal(0.3, 0.2, 4_000).astype(np.float32)
    described = facts_of(tmp_path).training_data({})
    library = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    expected = library(clip, sampling_rate=16_000, return_tensors="np").input_values
    assert np.abs(prepared([clip], described) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_what_is_shipped_is_read_alike(tmp_path: Path) -> None:
    transformers.Wav2Vec2Config().save_pretrained(tmp_path)
    saved = transformers.Wav2Vec2FeatureExtractor(do_normalize=False).to_dict()
    text = json.dumps({"feature_extractor": saved})
    (tmp_path / "processor_config.json").write_text(text)
    shipped = facts_of(tmp_path).written_files["preprocessor_config.json"]
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "preprocessor_config.json").write_bytes(shipped)
    assert read(out, WAV2VEC2) == read(tmp_path, WAV2VEC2)
    assert transformers.Wav2Vec2FeatureExtractor.from_pretrained(out).do_normalize is False


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "neither processor_config.json nor preprocessor_config.json"),
        ({"processor_config.json": "{}"}, "neither"),
        ({"preprocessor_config.json": "["}, "Expecting"),
        ({"preprocessor_config.json": "[]"}, "no JSON object"),
        (
            {"preprocessor_config.json": '{"feature_extractor_type": "ASTFeatureExtractor"}'},
            "feature_extractor_type is ASTFeatureExtractor",
        ),
    ],
)
def test_what_says_nothing_of_audio_is_refused(
    files: dict[str, str], why: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(PlanError) as caught:
        read(tmp_path, WAV2VEC2)
    assert why in str(caught.value.why)


def test_what_no_class_takes_is_told(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"loudness": 3}')
    (note,) = read_extractor(tmp_path, WAV2VEC2, HANDLED[WAV2VEC2], refused).notes
    assert "loudness" in note
