"""Models of small configurations: their weights, their outputs, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from olive_build.errors import StepError
from olive_build.families.transformers.output_names import output_names
from olive_build.families.transformers.seeded import seeded_model
from olive_build.families.transformers.shrink import small_config
from olive_build.families.transformers.significance import insignificant
from olive_build.families.transformers.small_model import small_model


def test_no_bias_is_zero_and_no_norm_is_one() -> None:
    model = seeded_model(transformers.BertModel, small_config(transformers.BertConfig()))
    assert all(value.std() > 0 for value in model.parameters())


def test_the_same_weights_each_time_and_pytorchs_generator_goes_on() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    config = small_config(transformers.BertConfig())
    one, other = (seeded_model(transformers.BertModel, config).state_dict() for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_batch_norms_have_statistics_so_that_outputs_do_not_vanish() -> None:
    config = transformers.MobileNetV2Config()
    model, shrunk = small_model(
        config, transformers.MobileNetV2ForImageClassification, "image-classification"
    )
    assert shrunk.how == "small"
    norms = [item for item in model.modules() if isinstance(item, torch.nn.BatchNorm2d)]
    assert norms and all(norm.running_mean.abs().max() > 0 for norm in norms)
    assert not any(norm.training for norm in norms)


def test_outputs_are_named_by_their_path_without_caches_and_losses() -> None:
    value, cache = torch.zeros(1), object()
    output = {"loss": value, "logits": value, "past_key_values": cache, "x": None}
    output["hidden_states"] = (value, {"inner": value})
    expected = ("logits", "hidden_states.0", "hidden_states.1.inner")
    assert output_names(output) == expected


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ([1.0, 2.0], [1.0, 2.5], ""),
        ([1e-6, 0.0], [0.0, 1e-6], "are at most"),
        ([1.0, 2.0], [1.0, 2.0001], "differ by"),
        ([1.0, float("nan")], [1.0, 2.0], "are no numbers"),
        ([1.0, float("-inf")], [2.0, float("-inf")], ""),
    ],
)
def test_outputs_without_size_or_spread_prove_nothing(
    one: list[float], other: list[float], said: str
) -> None:
    reasons = insignificant({"y": torch.tensor(one)}, {"y": torch.tensor(other)})
    assert said in reasons["y"] if said else not reasons


class Deaf(transformers.BertModel):
    """It gives the same for all inputs."""

    def forward(self, input_ids: Any = None) -> dict[str, torch.Tensor]:
        return {"y": torch.ones(len(input_ids), 3)}


def test_a_model_that_does_not_hear_its_inputs_is_told() -> None:
    with pytest.raises(StepError, match="a miniature of Deaf proves nothing") as told:
        small_model(transformers.BertConfig(), Deaf, "feature-extraction")
    assert told.value.why is not None and told.value.why.startswith("y differ by 0.0e+00")


class Wide(transformers.BertModel):
    """It is of one width alone."""

    def __init__(self, config: Any) -> None:
        if config.hidden_size != 48:
            raise ValueError("48 wide or nothing")
        super().__init__(config)


def test_where_small_widths_do_not_fit_only_layers_go_and_it_is_told() -> None:
    config = transformers.BertConfig(hidden_size=48, num_attention_heads=12, vocab_size=300)
    model, shrunk = small_model(config, Wide, "feature-extraction")
    assert shrunk.how == "layers only"
    assert "48 wide or nothing" in shrunk.notes[0]
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (48, 1)


def test_a_model_that_no_rule_fits_is_refused() -> None:
    config = transformers.BertConfig(hidden_size=24, num_attention_heads=12)
    with pytest.raises(StepError, match="no miniature can be made of a Wide") as told:
        small_model(config, Wide, "feature-extraction")
    assert told.value.why == "ValueError: 48 wide or nothing"
