"""What a Whisper's folder says of it, for every size and kind, and what is refused in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from composed_whisper import MODEL

from olive_build.errors import PlanError
from olive_build.families.whisper.spec import inspect

Edit = Callable[[dict[str, Any]], None]
FILES = ("config.json", "generation_config.json", "processor_config.json", "tokenizer.json")
START, ENGLISH, TRANSCRIBE, TRANSLATE, NO_TIMESTAMPS = 50_258, 50_259, 50_359, 50_358, 50_363


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what describes the model; its weights are not read here."""
    for name in FILES:
        shutil.copyfile(MODEL / name, tmp_path / name)
    return tmp_path


def edit(folder: Path, name: str, change: Edit) -> None:
    data = json.loads((folder / name).read_text(encoding="utf-8"))
    change(data)
    (folder / name).write_text(json.dumps(data), encoding="utf-8")


def set_to(**values: Any) -> Edit:
    return lambda data: data.update(values)


def extractor(**values: Any) -> Edit:
    return lambda data: data["feature_extractor"].update(values)


def test_a_multilingual_model_is_asked_in_four_tokens(folder: Path) -> None:
    facts = inspect(folder)
    assert facts.prompt(None, "transcribe") == (START, ENGLISH, TRANSCRIBE, NO_TIMESTAMPS)
    assert facts.prompt("de", "translate") == (START, 50_261, TRANSLATE, NO_TIMESTAMPS)


def test_names_of_languages_come_from_the_vocabulary_where_generation_has_none(
    folder: Path,
) -> None:
    edit(folder, "generation_config.json", lambda data: data.pop("lang_to_id", None))
    from_vocabulary = inspect(folder).languages
    assert len(from_vocabulary) == 99
    assert (from_vocabulary["en"], from_vocabulary["haw"]) == (ENGLISH, 50_352)
    edit(folder, "generation_config.json", set_to(lang_to_id={"<|en|>": 7, "<|yue|>": 9}))
    assert inspect(folder).languages == {"en": 7, "yue": 9}


def test_an_unknown_language_is_refused_with_those_there_are(folder: Path) -> None:
    edit(folder, "generation_config.json", set_to(lang_to_id={"<|en|>": 7, "<|de|>": 9}))
    with pytest.raises(PlanError) as caught:
        inspect(folder).prompt("tlh", "transcribe")
    assert caught.value.what == "the model has no language 'tlh'"
    assert caught.value.why == "its languages are de, en"
    assert caught.value.hint and "speech: {language: ...}" in caught.value.hint


def test_an_english_only_model_is_asked_in_two_tokens(folder: Path) -> None:
    edit(folder, "generation_config.json", set_to(is_multilingual=False))
    facts = inspect(folder)
    assert facts.languages == {}
    for language in (None, "en"):
        assert facts.prompt(language, "transcribe") == (START, NO_TIMESTAMPS)


@pytest.mark.parametrize(("language", "task"), [("de", "transcribe"), (None, "translate")])
def test_an_english_only_model_refuses_the_rest(
    folder: Path, language: str | None, task: str
) -> None:
    edit(folder, "generation_config.json", set_to(is_multilingual=False))
    with pytest.raises(PlanError, match="the model transcribes English alone") as caught:
        inspect(folder).prompt(language, task)
    assert f"'{language}'" in str(caught.value.why) and f"'{task}'" in str(caught.value.why)


def test_attentions_are_counted_by_component(folder: Path) -> None:
    edit(folder, "config.json", set_to(encoder_layers=3, decoder_layers=5))
    facts = inspect(folder)
    found = [item.attentions for item in facts.components]
    # The decoder's layers look at the text and at the audio.
    assert found == [3, 10, 10]


def test_large_v3_has_128_mel_bins(folder: Path) -> None:
    edit(folder, "config.json", set_to(num_mel_bins=128))
    edit(folder, "processor_config.json", extractor(feature_size=128))
    assert inspect(folder).mel_bins == 128


def test_a_window_of_30_seconds_has_1500_positions(folder: Path) -> None:
    edit(folder, "config.json", set_to(max_source_positions=1500))
    edit(folder, "processor_config.json", extractor(chunk_length=30))
    facts = inspect(folder)
    assert (facts.window, facts.frames, facts.source_positions) == (480_000, 3000, 1500)
    assert facts.seconds == facts.longest == 30


def test_the_extractors_own_file_is_read_where_there_is_no_processors(folder: Path) -> None:
    before = inspect(folder)
    data = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))
    (folder / "processor_config.json").unlink()
    text = json.dumps(data["feature_extractor"])
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    found = inspect(folder)
    assert (found.window, found.n_fft, found.hop_length) == (before.window, 400, 160)


def test_suppressed_tokens_are_those_of_the_generation(folder: Path) -> None:
    edit(
        folder,
        "generation_config.json",
        set_to(suppress_tokens=[1, 2], begin_suppress_tokens=[220, 50_257]),
    )
    facts = inspect(folder)
    assert (facts.suppressed, facts.suppressed_first) == ((1, 2), (220, 50_257))
    edit(folder, "generation_config.json", set_to(suppress_tokens=None))
    assert inspect(folder).suppressed == ()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(PlanError) as caught:
        inspect(folder)
    assert caught.value.what == "the model is not one of the family 'whisper'"
    assert caught.value.why and name in caught.value.why
    assert caught.value.where == str(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("text", "why"), [("{", "Expecting property name"), ("[1]", "it holds no JSON object")]
)
def test_a_file_that_is_no_json_object_is_named(
    folder: Path, name: str, text: str, why: str
) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        inspect(folder)
    assert caught.value.what == f"cannot read {name}"
    assert caught.value.why and why in caught.value.why


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("config.json", set_to(model_type="bart"), "its model_type is 'bart'"),
        ("config.json", lambda data: data.pop("model_type"), "its model_type is None"),
        ("config.json", lambda data: data.pop("d_model"), "there is no 'd_model'"),
        ("config.json", set_to(d_model=None), "NoneType"),
        ("config.json", set_to(vocab_size="many"), "many"),
        (
            "config.json",
            set_to(num_mel_bins=128),
            "config.json has 128 mel bins, the feature extractor 80",
        ),
        (
            "config.json",
            set_to(max_source_positions=1500),
            "2 s of audio make 100 positions, and the encoder has 1500",
        ),
        (
            "processor_config.json",
            extractor(chunk_length=30),
            "30 s of audio make 1500 positions, and the encoder has 100",
        ),
        ("tokenizer.json", set_to(added_tokens=[]), "there is no '<|notimestamps|>'"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    folder: Path, name: str, change: Edit, why: str
) -> None:
    edit(folder, name, change)
    with pytest.raises(PlanError) as caught:
        inspect(folder)
    assert caught.value.what == "the model is not one of the family 'whisper'"
    assert caught.value.why and why in caught.value.why


def test_timestamps_alone_do_not_make_a_whisper(folder: Path) -> None:
    def without_start(data: dict[str, Any]) -> None:
        kept = [t for t in data["added_tokens"] if t["content"] != "<|startoftranscript|>"]
        data["added_tokens"] = kept

    edit(folder, "tokenizer.json", without_start)
    edit(folder, "generation_config.json", lambda data: data.pop("lang_to_id", None))
    with pytest.raises(PlanError) as caught:
        inspect(folder)
    assert caught.value.why == "there is no '<|startoftranscript|>'"
