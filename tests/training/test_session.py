"""A training session: steps, gradients, rates, checkpoints, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from .small_training import TRAIN, Images, generated, in_toolchain, prepared

START = """
import numpy as np
from olive_build.errors import StepError
from olive_build.training.session import TrainingSession
folder, scratch = Path(sys.argv[1]), Path(sys.argv[2])
steps = np.load(folder.parent / "m" / "steps.npz")
batches = list(zip([[x] for x in steps["input.x"]], steps["target"]))
def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except StepError as error:
        return error.render()
    return ""
"""
FROZEN = ("low.weight", "low.bias")


@pytest.fixture(scope="module")
def images(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("session")
    train = replace(TRAIN, nominal_checkpoint=True)
    prepared(Images(), base / "m", shape=(1, 8, 8), frozen=FROZEN, train=train)
    assert generated(training_python, base / "m", base / "a", "ort") == ""
    return base / "a"


def test_gradients_leave_nothing_behind(
    training_python: Path, images: Path, tmp_path: Path
) -> None:
    code = """
plain, asked = TrainingSession(folder), TrainingSession(folder)
before = asked.parameters()
for _ in range(2):
    loss, gradients = asked.loss_and_gradients(*batches[3])
same = all((before[name] == value).all() for name, value in asked.parameters().items())
losses = [[s.step(*batch) for batch in batches[:4]] for s in (plain, asked)]
again, _ = TrainingSession(folder).loss_and_gradients(*batches[3])
print(json.dumps([sorted(gradients), same, losses, loss == again]))
"""
    found = json.loads(in_toolchain(training_python, START + code, images, tmp_path))
    names, same, losses, repeated = found
    assert names == ["head.bias", "head.weight", "high.bias", "high.weight"]
    assert same and repeated
    assert losses[0] == losses[1]


def test_evaluation_does_not_train(training_python: Path, images: Path, tmp_path: Path) -> None:
    code = """
session = TrainingSession(folder, threads=1)
first, (logits,) = session.evaluate(*batches[0])
second, _ = session.evaluate(*batches[0])
trained = session.step(*batches[0])
later, _ = session.evaluate(*batches[0])
print(json.dumps([first, second, trained, later, list(logits.shape)]))
"""
    text = in_toolchain(training_python, START + code, images, tmp_path)
    first, second, trained, later, shape = json.loads(text)
    assert first == second == pytest.approx(trained, abs=1e-6)
    assert later != first
    assert shape == [4, 3]


def test_a_learning_rate_can_be_set_and_is_kept(
    training_python: Path, images: Path, tmp_path: Path
) -> None:
    code = """
session = TrainingSession(folder)
rates = [session.learning_rate]
before = session.parameters(trainable=True)
session.set_learning_rate(0.0)
session.step(*batches[0])
still = all((before[n] == v).all() for n, v in session.parameters(trainable=True).items())
session.set_learning_rate(0.125)
session.step(*batches[0])
session.save_checkpoint(scratch / "kept")
rates += [session.learning_rate, TrainingSession(folder, checkpoint=scratch / "kept").learning_rate]
print(json.dumps([rates, still]))
"""
    text = in_toolchain(training_python, START + code, images, tmp_path)
    rates, still = json.loads(text)
    assert rates == pytest.approx([0.01, 0.125, 0.125])
    assert still


@pytest.mark.parametrize("form", ["onnx", "ort"])
def test_training_goes_on_from_a_checkpoint(
    training_python: Path, images: Path, tmp_path: Path, form: str
) -> None:
    code = """
form = sys.argv[3]
session = TrainingSession(folder, form=form)
for batch in batches[:10]:
    session.step(*batch)
session.save_checkpoint(scratch / "half")
whole = [session.step(*batch) for batch in batches[10:]]
later = TrainingSession(folder, form=form, checkpoint=scratch / "half")
print(json.dumps([whole, [later.step(*batch) for batch in batches[10:]]]))
"""
    text = in_toolchain(training_python, START + code, images, tmp_path, form)
    whole, later = json.loads(text)
    assert whole == later


def test_a_nominal_session_waits_for_parameters(
    training_python: Path, images: Path, tmp_path: Path
) -> None:
    # In onnxruntime, both refused calls would end the process.
    code = """
session = TrainingSession(folder, checkpoint=folder / "nominal_checkpoint")
said = [refused(session.step, *batches[0]), refused(session.set_learning_rate, 0.1)]
other = TrainingSession(folder)
session.take_parameters(other)
print(json.dumps([said, session.learning_rate, session.step(*batches[0]), other.step(*batches[0])]))
"""
    text = in_toolchain(training_python, START + code, images, tmp_path)
    said, rate, one, other = json.loads(text)
    assert all("a nominal checkpoint holds no parameters to train" in line for line in said)
    assert rate == pytest.approx(0.01)
    assert one == other


def test_an_export_has_the_trained_parameters(
    training_python: Path, images: Path, tmp_path: Path
) -> None:
    import onnxruntime

    code = """
session = TrainingSession(folder)
for batch in batches:
    session.step(*batch)
session.export_inference(scratch / "trained.onnx", ["logits"])
_, (logits,) = session.evaluate(*batches[0])
np.save(scratch / "logits.npy", logits)
ort = TrainingSession(folder, form="ort")
print(refused(ort.export_inference, scratch / "no.onnx", ["logits"]))
"""
    said = in_toolchain(training_python, START + code, images, tmp_path)
    assert "an inference model cannot be exported from the ORT form" in said
    with np.load(images.parent / "m" / "steps.npz") as steps:
        x = steps["input.x"][0]
    session = onnxruntime.InferenceSession(str(tmp_path / "trained.onnx"))
    (actual,) = session.run(None, {"x": x})
    np.testing.assert_allclose(actual, np.load(tmp_path / "logits.npy"), atol=1e-5)


REFUSALS = {
    "shape": (
        "refused(TrainingSession(folder).step, [np.ones((4, 1, 8), np.float32)], batches[0][1])",
        ["a training step failed", "x float32[4, 1, 8], labels int64[4]", "because:"],
    ),
    "count": (
        "refused(TrainingSession(folder).step, [], batches[0][1])",
        ["the model takes 2 arrays and got 1", "give x, labels, in this order"],
    ),
    "missing": (
        "refused(TrainingSession, folder, checkpoint=scratch / 'none')",
        ["none is missing"],
    ),
    "damaged": (
        "refused(TrainingSession, folder, checkpoint=folder / 'training.json')",
        ["onnxruntime-training cannot load training.json", "because:"],
    ),
    "unwritable": (
        "refused(TrainingSession(folder).save_checkpoint, scratch / 'no' / 'such')",
        ["onnxruntime-training cannot write such", "can be written to"],
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSALS))
def test_a_refusal_is_readable(
    training_python: Path, images: Path, tmp_path: Path, case: str
) -> None:
    call, texts = REFUSALS[case]
    said = in_toolchain(training_python, f"{START}print({call})", images, tmp_path)
    for text in texts:
        assert text in said
    assert "/onnxruntime_src/" not in said and "std::" not in said
