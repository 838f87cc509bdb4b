"""LoRA: the layer at its start and by the formula, its names, and patterns that name no layer."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch_stub_family import FAMILY, TwoLayers, register, train

from olive_build.errors import StepError
from olive_build.training.settings import Head, Lora
from olive_build.training.torch_lora import LoraLinear, add_lora
from olive_build.training.torch_model import build

VALUES = torch.linspace(-1, 1, 18).reshape(3, 6)


def test_an_adapted_layer_begins_as_the_layer_that_it_was() -> None:
    model = TwoLayers()
    before = model(VALUES)
    add_lora(model, Lora(("body",), 2, 8.0), seed=0)
    assert torch.equal(model(VALUES), before)


def test_after_a_change_it_is_the_papers_formula() -> None:
    model = TwoLayers()
    add_lora(model, Lora(("body",), 2, 8.0), seed=0)
    layer = model.body
    assert isinstance(layer, LoraLinear)
    with torch.no_grad():
        layer.lora_B.normal_()
    both = layer.weight + 8.0 / 2 * layer.lora_B @ layer.lora_A
    expected = functional.linear(VALUES, both, layer.bias)
    torch.testing.assert_close(layer(VALUES), expected)


def test_the_layers_own_parameters_keep_their_names_and_values() -> None:
    model = TwoLayers()
    before = {name: value.clone() for name, value in model.named_parameters()}
    found = add_lora(model, Lora(("body",), 2, 8.0), seed=0)
    after = dict(model.named_parameters())
    assert found.own == ("body.lora_A", "body.lora_B")
    assert found.base == {"body.weight", "body.bias"}
    assert set(after) == {*before, *found.own}
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_start_is_drawn_with_the_seed_as_a_linear_layers_weight() -> None:
    first, second, other = TwoLayers(), TwoLayers(), TwoLayers()
    for model, seed in ((first, 4), (second, 4), (other, 5)):
        add_lora(model, Lora(("*",), 2, 1.0), seed=seed)
    torch.manual_seed(4)
    expected = torch.nn.init.kaiming_uniform_(torch.empty(2, 6), a=math.sqrt(5))
    assert torch.equal(first.body.lora_A, expected)  # type: ignore[arg-type]
    assert torch.equal(first.top.lora_A, second.top.lora_A)  # type: ignore[arg-type]
    assert not torch.equal(first.top.lora_A, other.top.lora_A)  # type: ignore[arg-type]
    assert not first.top.lora_B.any()  # type: ignore[operator]


def test_adapters_are_trained_and_their_layers_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    side = build(tmp_path, FAMILY, train("*", lora=Lora(("body",), 2, 8.0)))
    assert side.trainable == ("body.lora_A", "body.lora_B", "top.weight", "top.bias")
    assert side.frozen == ("body.weight", "body.bias")


def test_a_new_head_gets_no_adapter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, TwoLayers)
    given = train(head=Head("top", 2, ("a", "b")), lora=Lora(("*",), 2, 8.0))
    side = build(tmp_path, FAMILY, given)
    assert side.trainable == ("body.lora_A", "body.lora_B", "top.weight", "top.bias")
    with pytest.raises(StepError, match="LoRA's 'to\\*' names the new head alone"):
        build(tmp_path, FAMILY, train(head=given.head, lora=Lora(("to*",), 2, 8.0)))


def test_a_pattern_that_matches_nothing_is_answered_with_what_is_near() -> None:
    with pytest.raises(StepError) as caught:
        add_lora(TwoLayers(), Lora(("body", "*.bodi"), 2, 8.0), seed=0)
    assert caught.value.what == "LoRA's '*.bodi' matches no module"
    assert caught.value.why == "the nearest are body; its linear layers are below body, top"


def test_a_pattern_that_names_another_kind_of_layer_says_which() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU())
    with pytest.raises(StepError) as caught:
        add_lora(model, Lora(("1",), 2, 8.0), seed=0)
    assert caught.value.what == "LoRA's '1' names no linear layer"
    assert caught.value.why == "'1' is a ReLU, and adapters are for torch.nn.Linear"
    assert caught.value.hint == "linear layers near it: 0"


def test_a_rank_that_saves_nothing_is_refused() -> None:
    with pytest.raises(StepError) as caught:
        add_lora(TwoLayers(), Lora(("top",), 3, 8.0), seed=0)
    assert caught.value.what == "LoRA of rank 3 is not below the rank of 'top'"
    assert "take a rank below 3" in (caught.value.hint or "")


def test_an_adapter_that_the_model_computes_past_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Past(TwoLayers):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            inner = functional.linear(values, self.body.weight, self.body.bias)
            found: torch.Tensor = self.top(inner)
            return found

    register(monkeypatch, Past)
    with pytest.raises(StepError) as caught:
        build(tmp_path, FAMILY, train("top.*", lora=Lora(("body",), 2, 8.0)))
    assert caught.value.what == "no gradient reaches 'body.lora_A'"
    assert caught.value.where == "train.lora.modules"


def test_adapted_layers_alone_are_no_pattern_to_train() -> None:
    from olive_build.training.torch_freezing import choose

    model = TwoLayers()
    adapted = add_lora(model, Lora(("body",), 2, 8.0), seed=0)
    with pytest.raises(StepError) as caught:
        choose(model, train("body.weight"), adapted=adapted)
    assert caught.value.what == "'body.weight' names layers with adapters alone"


def test_a_weight_that_an_adapted_layer_shares_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(6, 6)
            self.second = torch.nn.Linear(6, 6, bias=False)
            self.second.weight = self.first.weight

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.second(torch.tanh(self.first(values)))
            return found

    register(monkeypatch, Tied)
    lora = Lora(("second",), 2, 8.0)
    side = build(tmp_path, FAMILY, train("*", lora=lora))
    assert side.trainable == ("first.bias", "second.lora_A", "second.lora_B")
    assert side.frozen == ("first.weight",)
    with pytest.raises(StepError, match=r"'first\.weight' names layers with adapters alone"):
        build(tmp_path, FAMILY, train("first.weight", lora=lora))
