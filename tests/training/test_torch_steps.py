"""The reference's steps against loops written out here, in PyTorch alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional
from torch_stub_family import FAMILY, TwoLayers, register, train

from olive_build.errors import StepError
from olive_build.families import module_of
from olive_build.families.text_classification.miniature import write_miniature
from olive_build.proof.reference import read_reference
from olive_build.proof.references.logits import LogitsReference
from olive_build.training.settings import Loss, Optimizer, Train
from olive_build.training.steps.make import TrainingReference
from olive_build.training.torch_loss import seeded_targets

Arrays = dict[str, npt.NDArray[Any]]
TRAINED = ("top.weight", "top.bias")


def run(
    tmp_path: Path, settings: Train, steps: int = 6, shapes: tuple[tuple[str, int], ...] = ()
) -> Arrays:
    """Return steps.npz of the step."""
    TrainingReference(FAMILY, shapes, settings, steps).run({"source": tmp_path}, tmp_path)
    with np.load(tmp_path / "steps.npz") as file:
        return {name: file[name] for name in file.files}


def by_hand(
    found: Arrays,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    optimizer: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
) -> TwoLayers:
    """Train a model of the same seed on the stored inputs, comparing the losses on the way."""
    torch.manual_seed(1)
    model = TwoLayers()
    model.body.requires_grad_(False)
    follows = optimizer([model.top.weight, model.top.bias])
    for step in range(len(found["losses"])):
        values, target = found[f"input.{step}.x"], found[f"target.{step}"]
        follows.zero_grad()
        value = loss(model(torch.from_numpy(values)), torch.from_numpy(target))
        value.backward()  # type: ignore[no-untyped-call]
        assert found["losses"][step] == pytest.approx(float(value.detach()), rel=1e-6)
        if step < 3:
            for name in TRAINED:
                gradient = model.get_parameter(name).grad
                assert gradient is not None
                np.testing.assert_allclose(found[f"gradient.{step}.{name}"], gradient, rtol=1e-5)
        follows.step()
    with torch.no_grad():
        value = loss(model(torch.from_numpy(found["eval_inputs.x"])), evaluated(found))
    assert found["eval_loss"] == pytest.approx(float(value), rel=1e-5)
    return model


def evaluated(found: Arrays) -> torch.Tensor:
    return torch.from_numpy(found["eval_target"])


def assert_ends_alike(found: Arrays, model: TwoLayers) -> None:
    for name in TRAINED:
        np.testing.assert_allclose(found[f"final.{name}"], model.get_parameter(name).detach())
    with torch.no_grad():
        logits = model(torch.from_numpy(found["eval_inputs.x"]))
    np.testing.assert_allclose(found["eval_logits"], logits, rtol=1e-5, atol=1e-6)


RENAMED = {"rename": (("values", "x"), ("logits", "y"))}


def test_adamw_and_class_weights_are_pytorchs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    settings = train(
        "top.*",
        loss=Loss("cross-entropy", (1.0, 2.0, 0.25)),
        optimizer=Optimizer("adamw", 0.05, (0.8, 0.99), 1e-6, 0.1),
        **RENAMED,
    )
    found = run(tmp_path, settings)
    weight = torch.tensor([1.0, 2.0, 0.25])
    model = by_hand(
        found,
        lambda output, target: functional.cross_entropy(output, target, weight),
        lambda parameters: torch.optim.AdamW(
            parameters, lr=0.05, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1
        ),
    )
    assert_ends_alike(found, model)
    assert found["losses"].dtype == np.float64
    assert [found[f"input.{step}.x"].shape for step in range(6)] == [
        (size, 6) for size in (4, 2, 4, 1, 1, 4)
    ]
    assert (found["target.0"].dtype, found["target.0"].shape) == (np.int64, (4,))


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("mse", functional.mse_loss),
        ("bce-with-logits", functional.binary_cross_entropy_with_logits),
        ("l1", functional.l1_loss),
    ],
)
def test_sgd_and_losses_of_numbers_are_pytorchs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: Any, loss: Any
) -> None:
    register(monkeypatch, TwoLayers)
    settings = train("top.*", loss=Loss(name), optimizer=Optimizer("sgd", 0.1), **RENAMED)
    found = run(tmp_path, settings)
    model = by_hand(found, loss, lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    assert_ends_alike(found, model)
    assert (found["target.0"].dtype, found["target.0"].shape) == (np.float32, (4, 3))


def test_only_trained_parameters_are_stored_with_where_they_began(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    found = run(tmp_path, train("top.*", **RENAMED))
    for kind in ("initial", "gradient.0", "gradient.1", "gradient.2", "final"):
        stored = {name for name in found if name.startswith(f"{kind}.")}
        assert stored == {f"{kind}.{name}" for name in TRAINED}
    torch.manual_seed(1)
    assert np.array_equal(found["initial.top.weight"], TwoLayers().top.weight.detach())
    assert not np.array_equal(found["initial.top.weight"], found["final.top.weight"])


def test_the_reference_is_of_the_model_before_the_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    run(tmp_path, train("top.*", **RENAMED), shapes=(("batch_size", 3),))
    stored = read_reference(tmp_path)
    assert isinstance(stored, LogitsReference)
    assert stored.output == "y"
    assert stored.feeds["x"].shape == (8, 6)
    torch.manual_seed(1)
    with torch.no_grad():
        expected = TwoLayers()(torch.from_numpy(stored.feeds["x"]))
    np.testing.assert_allclose(stored.logits, expected, rtol=1e-5, atol=1e-6)
    assert json.loads((tmp_path / "reference.json").read_text())["kind"] == "logits"


def test_a_batch_is_the_fixed_one_or_the_recipes_up_to_eight(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    fixed = run(tmp_path, train("top.*"), steps=3, shapes=(("batch_size", 1),))
    assert [fixed[f"input.{step}.values"].shape for step in range(3)] == [(1, 6)] * 3
    assert sorted(int(fixed[f"target.{step}"][0]) for step in range(3)) == [0, 1, 2]
    free = run(tmp_path, train("top.*", batch_size=64), 6)
    assert [len(free[f"target.{step}"]) for step in range(6)] == [8, 5, 8, 3, 1, 8]


def test_free_lengths_vary_and_keep_the_mask(tmp_path: Path) -> None:
    write_miniature(tmp_path)
    name = module_of("text-classification", "training_side")
    step = TrainingReference(name, (), train("classifier.*"), 4)
    step.run({"source": tmp_path}, tmp_path)
    with np.load(tmp_path / "steps.npz") as found:
        shapes = [found[f"input.{step}.input_ids"].shape for step in range(4)]
        masks = [found[f"input.{step}.attention_mask"] for step in range(4)]
        whole = shapes[0][1]
        assert [shape[1] for shape in shapes] == [whole, whole, whole * 3 // 4, whole]
    assert [mask.shape for mask in masks] == shapes
    assert all(mask.any(axis=1).all() for mask in masks)


def test_the_same_bytes_come_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, TwoLayers)
    files = ("steps.npz", "reference.npz", "reference.json")
    texts = []
    for _ in range(2):
        run(tmp_path, train("*"), steps=2)
        texts.append([(tmp_path / name).read_bytes() for name in files])
    assert texts[0] == texts[1]


def test_classes_come_equally_often_and_numbers_are_those_of_the_loss() -> None:
    labels = np.concatenate(
        [seeded_targets(Loss("cross-entropy"), 4, 3, seed) for seed in range(3)]
    )
    assert np.bincount(labels).tolist() == [4, 4, 4]
    assert set(seeded_targets(Loss("bce-with-logits"), 8, 2, 0).ravel()) == {0.0, 1.0}
    assert seeded_targets(Loss("mse"), 8, 2, 0).std() > 0.3


def test_a_loss_that_grows_beyond_numbers_names_the_learning_rate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    settings = train("*", loss=Loss("mse"), optimizer=Optimizer("sgd", 1e9))
    with pytest.raises(StepError) as caught:
        run(tmp_path, settings, steps=20)
    assert "PyTorch's loss is no finite number at step" in caught.value.what
    assert caught.value.where == "train.optimizer.lr"
    assert caught.value.hint == "take a learning rate below 1e+09"
