"""The configuration that is written for transformers.js, against what transformers reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from olive_build.families.whisper.client_files import generation_config, preprocessor_config
from olive_build.families.whisper.spec import WhisperFacts, inspect

START, END = "<|startoftranscript|>", "<|endoftext|>"
MANY = (END, START, "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>")
ONE = (END, START, "<|transcribe|>", "<|notimestamps|>")
# What transformers' defaults for a configuration would bar, and its generate never looks at.
CONFIG: dict[str, Any] = {
    "model_type": "whisper",
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "vocab_size": 16,
    "max_source_positions": 50,
    "max_target_positions": 24,
    "num_mel_bins": 80,
    "decoder_start_token_id": 1,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "begin_suppress_tokens": [3],
    "suppress_tokens": [4],
}


def model(folder: Path, tokens: tuple[str, ...], generation: dict[str, Any]) -> WhisperFacts:
    """Write the files of a model with a window of one second; return its facts."""
    added = [{"id": index, "content": token} for index, token in enumerate(tokens)]
    extractor = transformers.WhisperFeatureExtractor(chunk_length=1, return_attention_mask=True)
    files = {
        "config.json": CONFIG,
        "generation_config.json": generation,
        "tokenizer.json": {"added_tokens": added},
        "processor_config.json": {"feature_extractor": json.loads(extractor.to_json_string())},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return inspect(folder)


def written(facts: WhisperFacts, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(facts.written_files[name])
    return found


def test_audio_is_prepared_by_the_written_file_as_by_transformers_own(tmp_path: Path) -> None:
    facts = model(tmp_path, MANY, {})
    own = tmp_path / "own"
    own.mkdir()
    (own / "preprocessor_config.json").write_bytes(facts.written_files["preprocessor_config.json"])
    found = transformers.WhisperFeatureExtractor.from_pretrained(str(own)).to_dict()
    expected = transformers.WhisperFeatureExtractor.from_pretrained(str(tmp_path)).to_dict()
    assert found == expected
    # By it the client finds its own class.
    assert written(facts, "preprocessor_config.json")["processor_class"] == "WhisperProcessor"
    assert (found["n_samples"], found["return_attention_mask"]) == (16_000, True)


def test_a_prompt_can_be_made_of_generation_config_alone(tmp_path: Path) -> None:
    """The client knows no token by its name but those that the file gives it."""
    facts = model(tmp_path, MANY, {"alignment_heads": [[0, 1]]})
    found = written(facts, "generation_config.json")
    prompt = (
        found["decoder_start_token_id"],
        found["lang_to_id"]["<|de|>"],
        found["task_to_id"]["translate"],
        found["no_timestamps_token_id"],
    )
    assert found["is_multilingual"] is True
    assert prompt == facts.prompt("de", "translate") == (1, 3, 4, 6)
    assert found["max_length"] == 24  # the client's own is 20 tokens, the prompt's among them
    assert found["alignment_heads"] == [[0, 1]]  # what the model says besides is kept


def test_a_model_of_one_language_names_none(tmp_path: Path) -> None:
    """The client throws when one is named, be it in the file."""
    given = {"is_multilingual": False, "language": "en", "task": "transcribe", "max_length": 12}
    found = written(model(tmp_path, ONE, given), "generation_config.json")
    assert found["is_multilingual"] is False
    assert not {"language", "task", "lang_to_id", "task_to_id"} & set(found)
    assert (found["no_timestamps_token_id"], found["max_length"]) == (3, 12)


@pytest.mark.parametrize(
    ("given", "always", "first"),
    [({}, None, None), ({"suppress_tokens": [7], "begin_suppress_tokens": [2]}, [7], [2])],
)
def test_what_is_barred_is_what_transformers_bars(
    tmp_path: Path, given: dict[str, Any], always: list[int] | None, first: list[int] | None
) -> None:
    """Where it is not written, the client takes it from config.json."""
    found = written(model(tmp_path, MANY, given), "generation_config.json")
    assert "suppress_tokens" in found and "begin_suppress_tokens" in found
    assert (found["suppress_tokens"], found["begin_suppress_tokens"]) == (always, first)


def test_the_order_of_keys_does_not_change_a_byte(tmp_path: Path) -> None:
    facts = model(tmp_path, MANY, {})
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert generation_config(facts, one) == generation_config(facts, other)
    assert preprocessor_config(facts, one) == preprocessor_config(facts, other)


def test_what_is_written_is_shipped_once(tmp_path: Path) -> None:
    facts = model(tmp_path, MANY, {})
    (tmp_path / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    again = inspect(tmp_path)
    assert again.written_files == facts.written_files  # processor_config.json is the newer one
    assert not set(again.client_files) & set(again.written_files)
