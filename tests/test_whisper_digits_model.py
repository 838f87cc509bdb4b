"""The committed model that transcribes digits, and the speech that proofs of it run on."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from olive_build.families.whisper.clips import Clips, read_clips
from olive_build.families.whisper.spec import inspect

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "recipes" / "whisper-digits"
MODEL = FOLDER / "model"
AUDIO = ROOT / "tests" / "families" / "whisper_audio"
PROOF = ROOT / "olive_build" / "proof" / "data"
WORDS = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
MEGABYTE = 1_000_000


def strings(script: Path, name: str) -> list[str]:
    """Return the strings of a script's constant without importing what the script needs."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            found = [item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant)]
            return [value for value in found if isinstance(value, str)]
    raise AssertionError(f"{script.name} has no {name}")


def words_in(clips: Clips) -> int:
    return sum(len(text.split()) for text in clips.texts)


def speakers_in(part: str) -> set[str]:
    """Return who is heard in a file: what is behind the + of accent+speaker."""
    with np.load(FOLDER / f"{part}.npz") as arrays:
        assert len(arrays["voices"]) == len(arrays["texts"])
        return {str(voice).partition("+")[2] for voice in arrays["voices"]}


def test_the_model_is_small_because_its_vocabulary_is_stored_once_in_fp16() -> None:
    path = MODEL / "model.safetensors"
    with safe_open(str(path), framework="np") as weights:
        names = set(weights.keys())
        types = {weights.get_slice(name).get_dtype() for name in names}
    assert path.stat().st_size <= 12 * MEGABYTE
    assert types == {"F16"}
    assert "model.decoder.embed_tokens.weight" in names
    assert "proj_out.weight" not in names


def test_its_weights_are_finite_in_fp16() -> None:
    weights = load_file(MODEL / "model.safetensors")
    assert all(np.isfinite(weight).all() for weight in weights.values())


def test_the_family_reads_it_as_a_multilingual_whisper_of_two_seconds() -> None:
    facts = inspect(MODEL)
    assert (facts.vocabulary, facts.dimensions, facts.positions) == (51_865, 96, 64)
    assert (facts.seconds, facts.mel_bins, facts.source_positions) == (2, 80, 100)
    assert facts.prompt("en", "transcribe") == (50_258, 50_259, 50_359, 50_363)
    assert len(facts.languages) == 99
    assert facts.suppressed == facts.suppressed_first == ()


def test_generation_is_set_as_for_a_multilingual_whisper() -> None:
    settings = json.loads((MODEL / "generation_config.json").read_text(encoding="utf-8"))
    assert settings["is_multilingual"] is True
    assert settings["lang_to_id"]["<|en|>"] == 50_259
    assert settings["task_to_id"] == {"transcribe": 50_359, "translate": 50_358}
    assert settings["no_timestamps_token_id"] == 50_363
    assert settings.get("suppress_tokens") is None
    assert settings.get("forced_decoder_ids") is None


def test_its_tokenizer_is_whispers() -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 51_865
    assert tokenizer.token_to_id("<|30.00|>") == 51_864
    text = " Übung, naïve café; 12 zero 🙂"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    # The numbers that openai-whisper's own encoding gives.
    assert tokenizer.encode(" zero one seven", add_special_tokens=False).ids == [4018, 472, 3407]
    assert tokenizer.encode(" zero").ids == [50_258, 50_363, 4018, 50_257]


def test_the_proof_has_enough_words_and_enough_clips_in_which_nothing_is_said() -> None:
    clips = read_clips(FOLDER / "test.npz")
    assert words_in(clips) >= 500
    assert clips.texts.count("") >= 20
    assert (FOLDER / "test.npz").stat().st_size <= 7 * MEGABYTE
    assert len(read_clips(FOLDER / "calibration.npz").texts) == 60


@pytest.mark.parametrize("part", ["test", "calibration"])
def test_clips_hold_one_to_three_digits_within_the_window(part: str) -> None:
    clips = read_clips(FOLDER / f"{part}.npz")
    for audio, text in zip(clips.audio, clips.texts, strict=True):
        said = text.split()
        assert len(said) <= 3 and set(said) <= WORDS and text == " ".join(said)
        assert 0 < len(audio) <= 32_000
        assert not said or np.abs(audio).max() > 0.05


def test_every_digit_is_said_often_in_the_proof() -> None:
    said = " ".join(read_clips(FOLDER / "test.npz").texts).split()
    assert min(said.count(word) for word in WORDS) >= 30


def test_voices_of_the_proof_are_in_neither_training_nor_calibration() -> None:
    trained = set(strings(FOLDER / "train.py", "SPEAKERS"))
    held_out = set(strings(FOLDER / "train.py", "TEST_SPEAKERS"))
    assert not trained & held_out
    assert speakers_in("test") == held_out
    assert speakers_in("calibration") <= trained


def test_no_clip_is_in_both_files() -> None:
    files = [read_clips(FOLDER / f"{part}.npz") for part in ("test", "calibration")]
    tests, others = ({audio.tobytes() for audio in file.audio if audio.any()} for file in files)
    assert not tests & others


def test_sentences_for_the_proof_of_any_whisper_are_many_and_short() -> None:
    clips = read_clips(PROOF / "speech.npz")
    spoken = [text for text in clips.texts if text]
    assert len(spoken) >= 40 and words_in(clips) >= 400
    assert clips.texts.count("") == 4
    assert all(6 <= len(text.split()) <= 14 for text in spoken)
    assert max(len(audio) for audio in clips.audio) < 10 * 16_000
    assert (PROOF / "speech.npz").stat().st_size <= 2.5 * MEGABYTE


def test_sentences_for_calibration_are_others() -> None:
    proof = read_clips(PROOF / "speech.npz")
    calibration = read_clips(PROOF / "calibration-speech.npz")
    assert len(calibration.texts) == 16
    assert not set(proof.texts) & set(calibration.texts)


def test_committed_sentences_are_those_of_the_script() -> None:
    script = ROOT / "benchmarks" / "synthesize_speech.py"
    spoken = [text for text in read_clips(PROOF / "speech.npz").texts if text]
    assert spoken == strings(script, "SPEECH")
    calibration = read_clips(PROOF / "calibration-speech.npz").texts
    assert list(calibration) == strings(script, "CALIBRATION")


def test_the_clip_in_every_form_is_small_and_is_what_its_name_says() -> None:
    files = sorted(path for path in AUDIO.iterdir() if path.suffix in (".wav", ".mp3", ".flac"))
    assert len(files) == 5
    assert all(path.stat().st_size < 60_000 for path in files)
    starts = {".wav": (b"RIFF",), ".flac": (b"fLaC",), ".mp3": (b"ID3", b"\xff\xf3")}
    assert all(path.read_bytes().startswith(starts[path.suffix]) for path in files)
    names = {path.stem.removesuffix("_8khz").removesuffix("_stereo") for path in files}
    assert len(names) == 1 and set(names.pop().split("_")) <= WORDS
