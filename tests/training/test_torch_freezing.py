"""Which parameters are trained: by patterns, with names that tensors share, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch_stub_family import FAMILY, TwoLayers, register, train

from olive_build.errors import StepError
from olive_build.training.settings import Head, Loss
from olive_build.training.torch_freezing import choose, plain_where_frozen
from olive_build.training.torch_model import build


def test_what_is_named_and_not_frozen_is_trained_and_nothing_else() -> None:
    model = TwoLayers()
    found = choose(model, train("*", frozen=("*.bias",)))
    assert found.trainable == ("body.weight", "top.weight")
    assert found.frozen == ("body.bias", "top.bias")
    assert found.patterns == {"*": 4}
    wants = {name for name, value in model.named_parameters() if value.requires_grad}
    assert wants == set(found.trainable)


def test_a_head_is_trained_unnamed() -> None:
    found = choose(TwoLayers(), train(), head="top")
    assert found.trainable == ("top.weight", "top.bias")


def test_a_pattern_is_compared_with_whole_names_and_their_case() -> None:
    assert choose(TwoLayers(), train("b*t")).trainable == ("body.weight",)
    for pattern in ("body", "BODY.*"):
        with pytest.raises(StepError, match="matches no parameter"):
            choose(TwoLayers(), train(pattern))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"requires_grad": ("top.*", "bodi.*")}, "train.requires_grad"),
        ({"requires_grad": ("*",), "frozen": ("bodi.*",)}, "train.frozen"),
    ],
)
def test_a_pattern_for_nothing_is_answered_with_what_is_near(
    changes: dict[str, tuple[str, ...]], where: str
) -> None:
    with pytest.raises(StepError) as caught:
        choose(TwoLayers(), train(*changes["requires_grad"], frozen=changes.get("frozen", ())))
    assert caught.value.what == "'bodi.*' matches no parameter"
    assert caught.value.where == where
    why = "the nearest are body.bias, body.weight; its parameters are below body, top"
    assert caught.value.why == why


def test_a_frozen_pattern_that_names_the_head_is_refused() -> None:
    with pytest.raises(StepError) as caught:
        choose(TwoLayers(), train("*", frozen=("*.bias",)), head="top")
    assert caught.value.what == "'*.bias' freezes the new head: 'top.bias'"
    assert caught.value.where == "train.frozen"


@pytest.mark.parametrize(
    ("wanted", "frozen", "why"),
    [
        ((), (), "`requires_grad` is empty, and there is neither a head nor LoRA"),
        (("top.*",), ("t*",), "`frozen` names all that `requires_grad` does"),
    ],
)
def test_nothing_to_train_is_an_error(
    wanted: tuple[str, ...], frozen: tuple[str, ...], why: str
) -> None:
    with pytest.raises(StepError) as caught:
        choose(TwoLayers(), train(*wanted, frozen=frozen))
    assert (caught.value.what, caught.value.why) == ("nothing is trained", why)
    assert "below body, top" in (caught.value.hint or "")


class Tied(nn.Module):
    """`last` has the weight of `first`, the other way round it would be `last.weight` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 6)
        self.last.weight = self.first.weight

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(self.first(values))
        return found


def test_a_shared_tensor_is_one_parameter_under_each_of_its_names() -> None:
    assert choose(Tied(), train("last.weight")).trainable == ("first.weight",)
    assert choose(Tied(), train("*.weight")).patterns == {"*.weight": 1}
    found = choose(Tied(), train("first.*", frozen=("last.weight",)))
    assert found.trainable == ("first.bias",)


class Normed(nn.Module):
    """Weight norm on a convolution, as Wav2Vec2 has it on its positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = weight_norm(nn.Conv1d(1, 4, 3), name="weight", dim=2)
        self.top = nn.Linear(16, 3)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.top(self.conv(values[:, None]).flatten(1))
        return found


def test_a_frozen_weight_norm_is_computed_once() -> None:
    model, values = Normed(), torch.randn(2, 6)
    with torch.no_grad():
        nn.init.normal_(model.conv.parametrizations.weight.original0)  # type: ignore[union-attr, arg-type]
    expected = model(values)
    gone = plain_where_frozen(model, train("top.*"))
    assert set(gone.values()) == {"conv.weight"}
    assert type(model.conv) is nn.Conv1d
    assert isinstance(model.conv.weight, nn.Parameter)
    torch.testing.assert_close(model(values), expected)
    found = choose(model, train("top.*", frozen=("*.original0",)), gone=gone)
    assert set(found.frozen) == {"conv.weight", "conv.bias"}


def test_a_weight_norm_that_is_trained_stays() -> None:
    model = Normed()
    assert plain_where_frozen(model, train("conv.*")) == {}
    found = choose(model, train("conv.*"))
    names = [f"conv.parametrizations.weight.original{index}" for index in (0, 1)]
    assert found.trainable == ("conv.bias", *names)


def test_a_trained_parameter_that_the_output_does_not_depend_on_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Spare(TwoLayers):
        def __init__(self) -> None:
            super().__init__()
            self.masked = nn.Parameter(torch.zeros(3))

    register(monkeypatch, Spare)
    with pytest.raises(StepError) as caught:
        build(tmp_path, FAMILY, train("*"))
    assert caught.value.what == "no gradient reaches 'masked'"
    assert caught.value.why == "the model's output does not depend on masked"
    assert caught.value.hint == "put it in `frozen`: masked"
    with pytest.raises(StepError, match="no gradient reaches 'masked'"):
        build(tmp_path, FAMILY, train("masked"))
    assert len(build(tmp_path, FAMILY, train("*", frozen=("masked",))).trainable) == 4


def test_a_head_that_is_not_last_and_an_output_that_fits_no_loss_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Narrow(TwoLayers):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.body(values)).mean(1, keepdim=True)

    register(monkeypatch, Narrow)
    with pytest.raises(StepError) as caught:
        build(tmp_path, FAMILY, train(head=Head("body", 2, ("a", "b"))))
    assert caught.value.what == "the new head 'body' is not the model's last layer"
    assert caught.value.why == "it has 2 classes, and the model gives 1 numbers a sample"
    with pytest.raises(StepError, match="cross-entropy needs two classes at least"):
        build(tmp_path, FAMILY, train("body.*"))
    assert build(tmp_path, FAMILY, train("body.*", loss=Loss("mse"))).outputs == 1


def test_class_weights_are_one_for_each_class(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    with pytest.raises(StepError) as caught:
        build(tmp_path, FAMILY, train("top.*", loss=Loss("cross-entropy", (1.0, 2.0))))
    assert caught.value.what == "there are 2 class weights and 3 classes"
    assert caught.value.where == "train.loss.class_weights"
