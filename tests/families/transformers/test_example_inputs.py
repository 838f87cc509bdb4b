"""Example inputs by the signature of forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from olive_build.errors import StepError
from olive_build.families.transformers.example_inputs import SETTINGS, example_inputs
from olive_build.families.transformers.seeded import seeded_model
from olive_build.families.transformers.shrink import small_config


def model(name: str, config: Any) -> Any:
    return seeded_model(getattr(transformers, name), small_config(config))


def test_texts_end_and_are_padded_as_a_tokenizer_does() -> None:
    config = transformers.BartConfig()
    made = example_inputs(
        model("BartForSequenceClassification", config), "text-classification", SETTINGS[1]
    )
    assert list(made) == ["input_ids", "attention_mask"]
    assert made["input_ids"].shape == (3, 17)
    lengths = made["attention_mask"].sum(1)
    assert lengths.tolist() == [17, 15, 13]
    for row, length in zip(made["input_ids"], lengths, strict=True):
        assert row[length - 1] == 2
        assert (row[length:] == 1).all()
        assert not set(row[: length - 1].tolist()) & {0, 1, 2}


def test_a_decoder_is_given_its_start() -> None:
    made = example_inputs(
        model("T5ForConditionalGeneration", transformers.T5Config(decoder_start_token_id=0)),
        "text2text-generation",
        SETTINGS[0],
    )
    assert made["decoder_input_ids"].shape == (2, 7)
    assert (made["decoder_input_ids"][:, 0] == 0).all()


def test_the_same_seed_draws_the_same() -> None:
    bert = model("BertModel", transformers.BertConfig())
    one, same, other = (
        example_inputs(bert, "feature-extraction", SETTINGS[0], seed=seed)["input_ids"]
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_pixels_are_the_models_own_unless_they_may_differ() -> None:
    vit = model("ViTModel", transformers.ViTConfig())
    free = example_inputs(vit, "feature-extraction", SETTINGS[1])["pixel_values"]
    fixed = example_inputs(vit, "feature-extraction", SETTINGS[1], fixed_pixels=True)
    assert free.shape == (3, 3, 336, 448)
    assert fixed["pixel_values"].shape == (3, 3, 224, 224)


def test_speech_has_a_mask_only_where_the_model_was_trained_with_one() -> None:
    config = transformers.Wav2Vec2Config()
    made = example_inputs(model("Wav2Vec2Model", config), "feature-extraction", SETTINGS[0])
    assert list(made) == ["input_values"]
    config.feat_extract_norm = "layer"
    made = example_inputs(model("Wav2Vec2Model", config), "feature-extraction", SETTINGS[0])
    assert made["attention_mask"].sum(1).tolist() == [8000, 6667]


def test_an_input_that_nothing_is_known_of_is_an_error() -> None:
    class Strange(transformers.BertModel):
        def forward(self, mystery: torch.Tensor, input_ids: Any = None) -> None:
            """Take what no one knows."""

    strange = Strange(small_config(transformers.BertConfig()))
    with pytest.raises(StepError, match="the input 'mystery'"):
        example_inputs(strange, "feature-extraction", SETTINGS[0])
