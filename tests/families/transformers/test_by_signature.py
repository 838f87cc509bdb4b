"""Models without processors on the ladder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import transformers

from olive_build.families.transformers import by_signature
from olive_build.families.transformers.ladder import climb
from olive_build.families.transformers.miniature import write_miniature
from olive_build.families.transformers.rungs import relative_difference
from olive_build.families.transformers.trace import output_axes, settings_of


def miniature(path: Path, config: transformers.PreTrainedConfig) -> Path:
    source, out = path / "source", path / "model"
    out.mkdir()
    config.save_pretrained(str(source))
    write_miniature(out, source=source)
    return out


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = transformers.BartConfig(architectures=["BartForConditionalGeneration"])
    return miniature(tmp_path_factory.mktemp("bart"), config)


def test_axes_are_free_where_sizes_differ_and_named_after_what_differs(translator: Path) -> None:
    traced = by_signature.opened(translator)
    settings = settings_of(traced, "all")
    text = {0: "batch_size", 1: "sequence_length"}
    words = {0: "batch_size", 1: "decoder_sequence_length"}
    assert settings.axes == {
        "input_ids": text,
        "attention_mask": text,
        "decoder_input_ids": words,
    }
    axes = output_axes(traced, settings)
    assert axes == {"logits": words, "encoder_last_hidden_state": text}
    masks = [feeds["attention_mask"] for feeds in settings.feeds]
    assert [mask.shape for mask in masks] == [(3, 12), (2, 17), (1, 5)]
    assert all(mask[-1].min() == 0 for mask in masks[:2])


def test_a_graph_without_free_axes_is_proved_with_single_samples(translator: Path) -> None:
    settings = settings_of(by_signature.opened(translator), "none")
    assert [feeds["input_ids"].shape for feeds in settings.feeds] == [(1, 12)] * 3
    assert len({feeds["input_ids"].tobytes() for feeds in settings.feeds}) == 3
    assert set(map(str, settings.axes.values())) == {"{}"}


def test_a_ladder_without_a_tokenizer_writes_a_graph_that_is_pytorchs(
    translator: Path, tmp_path: Path
) -> None:
    found = climb(translator, by_signature.__name__, 18, tmp_path)
    assert found.rung == "plain"
    assert found.difference < 1e-5
    assert (tmp_path / "model.onnx").is_file()


def test_pictures_have_one_size(tmp_path: Path) -> None:
    config = transformers.ViTConfig(image_size=64, architectures=["ViTForImageClassification"])
    settings = settings_of(by_signature.opened(miniature(tmp_path, config)), "all")
    assert [feeds["pixel_values"].shape[2:] for feeds in settings.feeds] == [(64, 64)] * 3
    assert settings.axes == {"pixel_values": {0: "batch_size"}}


def test_masked_numbers_count_in_no_difference_but_must_be_the_same() -> None:
    expected = np.array([1.0, -np.inf, np.finfo(np.float32).min, 2.0], np.float32)
    assert relative_difference(expected, expected) == 0
    assert relative_difference(expected + np.array([0.2, 0, 0, 0], np.float32), expected) == (
        pytest.approx(0.1)
    )
    assert relative_difference(np.array([1.0, 0.0, 0.0, 2.0]), expected) == np.inf
