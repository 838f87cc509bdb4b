"""Batch norms are folded exactly where that is right, and become scale and shift where not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch_stub_family import FAMILY, register, train
from transformers import ResNetConfig, ResNetForImageClassification

from olive_build.errors import StepError
from olive_build.training import torch_batch_norm
from olive_build.training.torch_batch_norm import Affine, Folded, fold_batch_norms
from olive_build.training.torch_model import build

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def trained(model: nn.Module) -> nn.Module:
    """Give every norm statistics and weights that are not those of a new one."""
    torch.manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return model.eval()


def folded(model: nn.Module, values: torch.Tensor) -> tuple[Folded, float]:
    """Return what was folded, and the largest change of the output relative to its largest."""
    with torch.no_grad():
        before = model.eval()(values)
        found = fold_batch_norms(model, lambda: model(values))
        after = model(values)
    return found, float((before - after).abs().max() / before.abs().max())


def operators(model: nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


def test_a_resnet_loses_all_its_norms_and_computes_the_same() -> None:
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[2, 1], layer_type="basic", num_labels=3
    )
    model = trained(ResNetForImageClassification(config))
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    with torch.no_grad():
        before = model(IMAGES).logits
        found = fold_batch_norms(model, lambda: model(IMAGES).logits)
        after = model(IMAGES).logits
    assert (found.count, found.affine) == (norms, ())
    assert found.into["resnet.embedder.embedder.normalization"] == (
        "resnet.embedder.embedder.convolution"
    )
    assert "BatchNorm2d" not in operators(model)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_convolutions_with_and_without_bias(bias: bool, affine: bool) -> None:
    model = trained(
        nn.Sequential(nn.Conv2d(3, 4, 3, groups=1, bias=bias), nn.BatchNorm2d(4, affine=affine))
    )
    found, change = folded(model, IMAGES)
    assert found.into == {"1": "0"}
    assert change < 1e-6
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]


def test_grouped_and_one_dimensional_convolutions() -> None:
    model = trained(
        nn.Sequential(nn.Conv1d(4, 8, 3, groups=4), nn.BatchNorm1d(8), nn.ReLU(), nn.Flatten())
    )
    found, change = folded(model, IMAGES[:, :1, :4, :16].reshape(3, 4, 16))
    assert found.into == {"1": "0"}
    assert change < 1e-6


def test_a_norm_behind_a_linear_layer() -> None:
    model = trained(nn.Sequential(nn.Linear(16, 4), nn.BatchNorm1d(4), nn.ReLU()))
    found, change = folded(model, IMAGES[:, 0, 0])
    assert found.into == {"1": "0"}
    assert change < 1e-6


def test_a_linear_layers_last_axis_is_not_the_norms_second() -> None:
    model = trained(nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16)))
    found, change = folded(model, IMAGES[:, 0])
    assert (found.into, found.affine) == ({}, ("1",))
    assert model[1].weight.shape == (16, 1)  # type: ignore[index]
    assert change < 1e-6


class Twice(nn.Module):
    """The convolution's output goes into the norm and past it, by a function or by a module."""

    def __init__(self, past: nn.Module | None) -> None:
        super().__init__()
        self.convolution, self.norm, self.past = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), past

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.convolution(values)
        other = found if self.past is None else self.past(found)
        both: torch.Tensor = self.norm(found) + other
        return both


@pytest.mark.parametrize("past", [None, nn.ReLU()])
def test_an_output_that_is_read_twice_is_left_as_it_is(past: nn.Module | None) -> None:
    model = trained(Twice(past))
    found, change = folded(model, IMAGES)
    assert (found.into, found.affine) == ({}, ("norm",))
    assert model.norm.weight.shape == (4, 1, 1)  # type: ignore[union-attr]
    assert change < 1e-6


def test_an_output_that_is_written_over_first_is_another_one() -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4)))
    found, change = folded(model, IMAGES)
    assert (found.into, found.affine) == ({}, ("2",))
    assert change < 1e-6


def test_a_layer_or_a_norm_that_is_called_twice_is_left_as_it_is() -> None:
    shared, norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
    for model in (
        nn.Sequential(shared, nn.ReLU(), shared, nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 3, 3), norm, nn.ReLU(), nn.Conv2d(3, 3, 3), norm),
    ):
        found, change = folded(trained(model), IMAGES)
        assert found.into == {}
        assert change < 1e-6
        assert isinstance(next(m for m in model.modules() if isinstance(m, Affine)), Affine)


def test_a_weight_that_two_layers_share_is_not_scaled_for_one() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.norm, self.two = (
                nn.Conv2d(3, 3, 1),
                nn.BatchNorm2d(3),
                nn.Conv2d(3, 3, 1),
            )
            self.two.weight = self.one.weight

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.two(self.norm(self.one(values)))
            return found

    found, change = folded(trained(Tied()), IMAGES)
    assert (found.into, found.affine) == ({}, ("norm",))
    assert change < 1e-6


def test_a_model_in_training_mode_is_folded_as_in_eval_mode() -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    with torch.no_grad():
        expected = model(IMAGES)
        model.train()
        fold_batch_norms(model, lambda: model(IMAGES))
        torch.testing.assert_close(model(IMAGES), expected, rtol=1e-5, atol=1e-5)
    assert not model.training


def test_a_norm_without_statistics_of_its_own_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(StepError) as caught:
        fold_batch_norms(model, lambda: model(IMAGES))
    assert caught.value.what == "the batch norm '1' cannot be folded"
    assert "it takes those of each batch" in (caught.value.why or "")


def test_a_fold_that_changes_the_output_is_never_kept_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch_batch_norm._Flow, "layer_before", lambda self, norm: "convolution")
    model = trained(Twice(None))
    with pytest.raises(StepError, match="folding the batch norms changes the model's output by"):
        fold_batch_norms(model, lambda: model(IMAGES))


def test_a_wish_to_train_a_norm_is_answered_with_the_layer_that_it_went_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))

    register(monkeypatch, network)
    with pytest.raises(StepError) as caught:
        build(tmp_path, FAMILY, train("1.*"))
    assert caught.value.what == "'1.*' names batch norms alone, which were folded"
    assert caught.value.why == "'1' is part of '0' now"
    assert caught.value.hint == "name the layers instead: 0"
    assert build(tmp_path, FAMILY, train("[01].*")).trainable == ("0.weight", "0.bias")


def test_scale_and_shift_can_be_trained_by_the_norms_own_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)))
    side = build(tmp_path, FAMILY, train("0.*"))
    assert side.trainable == ("0.weight", "0.bias")
    assert side.folded.affine == ("0",)
