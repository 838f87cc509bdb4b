"""A classifier of sounds that goes on learning: the model, how clips are prepared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from labelled_folders import RATE, refused, tone, write_wav

from olive_build.errors import PlanError
from olive_build.families.audio_classification import examples
from olive_build.families.audio_classification.miniature import write_miniature
from olive_build.families.audio_classification.spec import inspect
from olive_build.families.audio_classification.training_side import side as training
from olive_build.families.registry import FAMILIES, family_of_task

LABELS = ("other", "owner")
LOSS = "cross-entropy"
DESCRIBED = {
    "kind": "audio",
    "sampling_rate": RATE,
    "samples": 800,
    "longest": 800,
    "normalize": True,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads of so small a model wait for each other, above all when busy
    made = tmp_path_factory.mktemp("audio")
    write_miniature(made, 12)
    yield made
    torch.set_num_threads(before)


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype("f4"))


def test_the_registry_says_that_it_trains() -> None:
    family = family_of_task("audio-classification")
    assert family == FAMILIES["audio-classification"]
    assert "train" in family.options and not family.searches
    assert family.axes == (("batch_size", 1), ("samples", 16_000))


def test_the_facts_are_those_of_the_files(folder: Path) -> None:
    facts = inspect(folder)
    assert (facts.sampling_rate, facts.normalize, len(facts.labels)) == (RATE, True, 5)
    assert facts.client_files == ("config.json", "preprocessor_config.json")
    assert facts.written_files == {}
    assert facts.training_data({"samples": 32_000})["samples"] == 32_000
    free = facts.training_data({"batch_size": 1})
    assert (free["samples"], free["longest"]) == (None, 160_000)


@pytest.mark.parametrize(
    ("kernels", "strides", "shortest"),
    [(None, None, 400), ([400, 3, 3], [160, 2, 2], 1_360), ([7, 3], [3, 2], 13)],
)
def test_the_shortest_clip_is_the_one_that_gives_a_frame(
    folder: Path,
    tmp_path: Path,
    kernels: list[int] | None,
    strides: list[int] | None,
    shortest: int,
) -> None:
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    if kernels:
        settings |= {"conv_kernel": kernels, "conv_stride": strides, "conv_dim": [8] * len(kernels)}
    # As a config.json that leaves the first two out.
    unsaid = {"num_feat_extract_layers"} | (set() if kernels else {"conv_kernel", "conv_stride"})
    settings = {key: value for key, value in settings.items() if key not in unsaid}
    config = transformers.Wav2Vec2Config(**settings)
    model = transformers.Wav2Vec2ForSequenceClassification(config).eval()
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    facts = inspect(tmp_path)
    assert facts.shortest == facts.training_data({})["shortest"] == shortest
    encoder = model.wav2vec2.feature_extractor
    assert encoder(noise(1, shortest)).shape[-1] == 1
    with pytest.raises(RuntimeError):
        encoder(noise(1, shortest - 1))


def test_a_recipe_with_clips_that_are_too_short_is_refused(folder: Path) -> None:
    for call in (
        lambda: inspect(folder).training_data({"samples": 399}),
        lambda: training.examples(folder, 1, {"samples": 399}, 0),
    ):
        with pytest.raises(PlanError) as caught:
            call()
        said = caught.value.render()
        assert "clips of 399 samples are too short for the model" in said
        assert "export.shapes.samples" in said and "take 400 at the least" in said
    assert training.examples(folder, 1, {"samples": 400}, 0)["input_values"].shape == (1, 400)


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("config.json", {"conv_stride": [5]}, "zip() argument"),
        ("config.json", {"model_type": "whisper"}, "its model_type is whisper, and known are"),
        ("config.json", {"id2label": {"1": "a", "2": "b"}}, "does not number its classes from 0"),
        ("config.json", {"id2label": ["a"]}, "no object of numbers and names"),
        ("preprocessor_config.json", {"sampling_rate": 0}, "its sampling_rate is 0"),
        ("preprocessor_config.json", {"sampling_rate": "x"}, "invalid literal"),
    ],
)
def test_another_model_is_told_why(
    folder: Path, tmp_path: Path, name: str, change: dict[str, object], why: str
) -> None:
    for file in ("config.json", "preprocessor_config.json"):
        read = json.loads((folder / file).read_text("utf-8"))
        (tmp_path / file).write_text(json.dumps(read | (change if file == name else {})))
    with pytest.raises(PlanError) as caught:
        inspect(tmp_path)
    assert "not one of the family 'audio-classification'" in caught.value.render()
    assert why in caught.value.render()


def test_a_model_without_a_head_has_the_two_classes_of_transformers(
    folder: Path, tmp_path: Path
) -> None:
    for file in ("config.json", "preprocessor_config.json"):
        read = json.loads((folder / file).read_text("utf-8"))
        read.pop("id2label", None)
        (tmp_path / file).write_text(json.dumps(read))
    assert inspect(tmp_path).labels == ("LABEL_0", "LABEL_1")


def test_the_model_is_the_one_of_transformers(folder: Path) -> None:
    model, values = training.load(folder), noise(2, 16_000)
    own = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = own(values).logits
        assert (training.forward(model, values) - expected).abs().max() < 1e-6
    assert not any(module.training for module in model.modules())


def test_nothing_is_dropped_masked_or_skipped_while_it_trains(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    chances = ("hidden_dropout", "attention_dropout", "layerdrop", "mask_time_prob")
    assert all(config[name] > 0 for name in chances), "the miniature would prove nothing"
    model, values = training.load(folder), noise(2, 16_000)
    with torch.no_grad():
        still = training.forward(model, values)
        for _ in range(3):
            assert torch.equal(training.forward(model.train(), values), still)


def test_names_are_those_of_the_base_model(folder: Path) -> None:
    names = dict(training.load(folder).named_parameters())
    assert {
        "wav2vec2.encoder.layers.11.attention.k_proj.weight",
        "wav2vec2.feature_extractor.conv_layers.6.conv.weight",
        "layer_weights",
        "projector.weight",
        "classifier.bias",
    } <= set(names)


def test_examples_and_axes_are_as_the_recipe_fixes_them(folder: Path) -> None:
    fixed = {"batch_size": 1, "samples": 3_200}
    found = training.examples(folder, 1, fixed, 0)["input_values"]
    assert (found.dtype, found.shape) == (np.float32, (1, 3_200))
    assert training.examples(folder, 2, {}, 0)["input_values"].shape == (2, RATE)
    assert not np.array_equal(found, training.examples(folder, 1, fixed, 1)["input_values"])
    assert training.axes(fixed) == {"input_values": (1, 3_200), "logits": (1,)}
    assert training.axes({})["input_values"] == ("batch_size", "samples")


def test_old_weight_norms_of_pickled_files_are_understood(folder: Path, tmp_path: Path) -> None:
    """SUPERB's files are older than PyTorch's parametrizations: weight_g and weight_v."""
    from safetensors.torch import load_file, save_file

    norm = "wav2vec2.encoder.pos_conv_embed.conv."
    old = load_file(folder / "model.safetensors")
    for number, letter in enumerate("gv"):
        new = f"{norm}parametrizations.weight.original{number}"
        old[f"{norm}weight_{letter}"] = old.pop(new)
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    save_file(old, tmp_path / "model.safetensors", {"format": "pt"})
    values = noise(1, 8_000)
    with torch.no_grad():
        expected = training.forward(training.load(folder), values)
        assert torch.equal(training.forward(training.load(tmp_path), values), expected)


def test_clips_are_normalized_as_the_feature_extractor_does(folder: Path) -> None:
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    clips = [noise(800).numpy() * 0.1 + 0.3, tone(0.05).astype("f4")]
    expected = extractor(clips, sampling_rate=RATE, return_tensors="np").input_values
    found = examples.prepared(clips, DESCRIBED)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    raw = examples.prepared(clips, DESCRIBED | {"normalize": False})
    np.testing.assert_array_equal(raw, np.stack(clips))


def test_the_loudest_part_of_a_long_recording_is_taken() -> None:
    clip = np.zeros(5_000, np.float32)
    clip[3_100:3_900] = tone(0.05)
    np.testing.assert_array_equal(examples.of_length(clip, 800), clip[3_100:3_900])


def test_a_short_recording_is_repeated() -> None:
    assert examples.of_length(np.float32([1, 2, 3]), 7).tolist() == [1, 2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize(
    ("longest", "shortest", "length"),
    [(160_000, 1, 400), (160_000, 399, 400), (160_000, 500, 500), (300, 1, 300)],
)
def test_where_the_length_is_free_it_is_the_middle_clips(
    longest: int, shortest: int, length: int
) -> None:
    described = DESCRIBED | {"samples": None, "longest": longest, "shortest": shortest}
    clips = [noise(size).numpy() for size in (5_000, 350, 1_600, 400)]
    assert examples.prepared(clips, described).shape == (4, length)


def test_one_long_recording_among_short_ones_is_cut_to_its_loudest_part(tmp_path: Path) -> None:
    long = np.zeros(20 * RATE)
    long[7 * RATE : 7 * RATE + 1_600] = tone()
    for name, sound in {"owner/a": tone(), "owner/b": tone(), "other/c": long}.items():
        write_wav(tmp_path / f"{name}.wav", sound)
    described = DESCRIBED | {"samples": None, "longest": 160_000, "shortest": 400}
    found = examples.read_examples(tmp_path, described, tmp_path, LABELS, LOSS)
    clips = found.inputs["input_values"]
    assert clips.shape == (3, 1_600)
    np.testing.assert_allclose(clips[0], clips[1], atol=0.05)


def test_a_recording_in_which_the_network_finds_nothing_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "owner" / "a.wav", tone())
    write_wav(tmp_path / "other" / "b.wav", tone()[:399])
    described = DESCRIBED | {"shortest": 400}
    said = refused(lambda: examples.read_examples(tmp_path, described, tmp_path, LABELS, LOSS))
    assert "a recording is too short: 399 samples" in said and "other/b.wav" in said
    assert "the model's convolutions take 400 at the least" in said


def test_a_folder_of_recordings_becomes_inputs_and_targets(tmp_path: Path) -> None:
    write_wav(tmp_path / "owner" / "b.wav", tone())
    write_wav(tmp_path / "other" / "a.wav", tone(pitch=200), width=3)
    found = examples.read_examples(tmp_path, DESCRIBED, tmp_path, LABELS, LOSS)
    assert found.files == (f"{tmp_path}/other/a.wav", f"{tmp_path}/owner/b.wav")
    assert found.targets.tolist() == [0, 1]
    assert found.inputs["input_values"].shape == (2, 800)
    assert found.inputs["input_values"].dtype == np.float32
    np.testing.assert_allclose(found.inputs["input_values"].std(1), 1, atol=1e-3)


def test_a_bad_recording_among_good_ones_is_named(tmp_path: Path) -> None:
    write_wav(tmp_path / "owner" / "b.wav", tone())
    write_wav(tmp_path / "other" / "a.wav", tone(), rate=8_000)
    said = refused(lambda: examples.read_examples(tmp_path, DESCRIBED, tmp_path, LABELS, LOSS))
    assert "other/a.wav" in said and "8000 samples a second" in said
