"""A new head: which layer gives way, what it is drawn from, and names that are none."""

from __future__ import annotations

import pytest
import torch
from torch_stub_family import TwoLayers
from transformers import BertConfig, BertForSequenceClassification

from olive_build.errors import StepError
from olive_build.training.settings import Head
from olive_build.training.torch_model import replace_head

HEAD = Head("top", 4, ("a", "b", "c", "d"))


def bert() -> BertForSequenceClassification:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(num_hidden_layers=1, vocab_size=20, max_position_embeddings=16, **sizes)
    return BertForSequenceClassification(config).eval()


def test_the_layer_has_as_many_outputs_and_pytorchs_own_start_for_the_seed() -> None:
    model = TwoLayers()
    replace_head(model, HEAD, seed=5)
    torch.manual_seed(5)
    expected = torch.nn.Linear(5, 4)
    assert torch.equal(model.top.weight, expected.weight)
    assert torch.equal(model.top.bias, expected.bias)
    assert model(torch.ones(2, 6)).shape == (2, 4)


def test_a_head_that_begins_at_zero_finds_all_classes_equally_likely() -> None:
    model = TwoLayers()
    replace_head(model, Head("top", 4, ("a", "b", "c", "d"), "zeros"), seed=5)
    assert torch.equal(model(torch.ones(2, 6)), torch.zeros(2, 4))


def test_pytorchs_own_random_numbers_go_on_as_if_nothing_had_been_drawn() -> None:
    model = TwoLayers()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    replace_head(model, HEAD, seed=5)
    assert torch.equal(torch.rand(1), expected)


def test_a_layer_without_bias_gives_way_to_one_without() -> None:
    model = TwoLayers()
    model.top = torch.nn.Linear(5, 3, bias=False)
    replace_head(model, HEAD, seed=0)
    assert model.top.bias is None


def test_the_configurations_classes_follow() -> None:
    model = bert()
    replace_head(model, Head("classifier", 3, ("x", "y", "z")), seed=0)
    assert model.config.num_labels == 3
    assert model.config.id2label == {0: "x", 1: "y", 2: "z"}
    assert model.config.label2id == {"x": 0, "y": 1, "z": 2}
    assert model(torch.ones(1, 4, dtype=torch.long)).logits.shape == (1, 3)


def test_a_slip_is_answered_with_the_linear_layers_near_it() -> None:
    with pytest.raises(StepError) as caught:
        replace_head(bert(), Head("clasifier", 2, ("a", "b")), seed=0)
    assert caught.value.what == "the model has no module 'clasifier'"
    assert caught.value.where == "train.head.replace"
    assert caught.value.hint == "linear layers near it: classifier"


def test_a_module_that_is_no_linear_layer_is_named_with_those_inside_it() -> None:
    with pytest.raises(StepError) as caught:
        replace_head(bert(), Head("bert.pooler", 2, ("a", "b")), seed=0)
    assert caught.value.what == "'bert.pooler' is no linear layer"
    assert "it is a BertPooler" in (caught.value.why or "")
    assert caught.value.hint == "linear layers near it: bert.pooler.dense"


def test_a_model_without_linear_layers_has_no_head() -> None:
    with pytest.raises(StepError, match="there is no linear layer to replace by a head of 'top'"):
        replace_head(torch.nn.Sequential(torch.nn.Conv1d(1, 1, 1)), HEAD, seed=0)
