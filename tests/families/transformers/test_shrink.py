"""What becomes of a configuration's fields, by their meaning."""

from __future__ import annotations

import pytest
from transformers import (
    BertConfig,
    DPTConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    SwinConfig,
    ViTConfig,
    WhisperConfig,
)

from olive_build.families.transformers.shrink import (
    VOCABULARY,
    WIDTH,
    Wanted,
    config_of_few_layers,
    small_config,
    table,
)


def test_widths_heads_and_layers_become_small_and_the_class_stays() -> None:
    small = small_config(BertConfig())
    assert type(small) is BertConfig
    assert (small.hidden_size, small.num_attention_heads, small.num_hidden_layers) == (WIDTH, 4, 1)


def test_a_vocabulary_is_kept_where_it_is_wanted_with_its_tokens() -> None:
    config = GPT2Config()
    assert small_config(config).vocab_size == VOCABULARY
    assert small_config(config).eos_token_id < VOCABULARY
    kept = small_config(config, Wanted(vocabulary=True))
    assert (kept.vocab_size, kept.eos_token_id) == (config.vocab_size, config.eos_token_id)


@pytest.mark.parametrize(("shared", "expected"), [(32, 4), (8, 2), (1, 1)])
def test_keys_are_shared_among_heads_as_before(shared: int, expected: int) -> None:
    small = small_config(LlamaConfig(num_attention_heads=32, num_key_value_heads=shared))
    assert (small.num_attention_heads, small.num_key_value_heads) == (4, expected)


def test_heads_divide_the_width_where_their_number_did_not() -> None:
    small = small_config(ViTConfig(hidden_size=192, num_attention_heads=3))
    assert small.num_attention_heads == 2


def test_one_layer_of_each_kind_stays() -> None:
    config = Gemma3TextConfig()
    assert set(config.layer_types) == set(small_config(config).layer_types)
    assert small_config(config).num_hidden_layers == len(set(config.layer_types))


def test_a_recipes_layers_stay() -> None:
    assert small_config(BertConfig(), Wanted(layers=3)).num_hidden_layers == 3
    assert small_config(SwinConfig(), Wanted(layers=2)).depths == [2, 2, 2, 2]


def test_as_many_layers_stay_as_outputs_are_taken() -> None:
    small = small_config(DPTConfig())
    assert small.num_hidden_layers == 4
    assert small.backbone_out_indices == [0, 1, 2, 3]


def test_stages_are_as_wide_as_their_heads() -> None:
    small = small_config(SwinConfig())
    assert small.embed_dim == 8 * small.num_heads[0]
    assert list(small.num_heads) == list(SwinConfig().num_heads)


def test_images_stay_small_ones_and_large_ones_become_whole_patches() -> None:
    assert small_config(ViTConfig()).image_size == 224
    assert small_config(ViTConfig(image_size=518, patch_size=14)).image_size == 252


def test_windows_are_shorter_than_the_examples() -> None:
    assert small_config(Gemma3TextConfig()).sliding_window == 8


def test_weights_are_spread_enough_to_prove_something() -> None:
    assert small_config(BertConfig()).initializer_range == 0.1


def test_speech_is_shorter() -> None:
    assert small_config(WhisperConfig()).max_source_positions == 100


def test_without_small_widths_only_the_layers_change() -> None:
    small = config_of_few_layers(BertConfig())
    whole = {**BertConfig().to_dict(), "num_hidden_layers": 1, "dtype": "float32"}
    assert small.to_dict() == whole


def test_every_exception_says_why() -> None:
    for name, exception in table()["models"].items():
        assert exception["because"], name
        assert exception.keys() <= {"because", "set", "keep"}, name


def test_a_configuration_is_not_changed_itself() -> None:
    config: PreTrainedConfig = Gemma3TextConfig()
    before = config.to_dict()
    small_config(config)
    assert config.to_dict() == before
