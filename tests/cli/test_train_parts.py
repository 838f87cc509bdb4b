"""The parts of `olive-build train`: judging, holding out, the picture, a child that crashes."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from olive_build.errors import ProofError, StepError
from olive_build.report.charts import MOST_POINTS, around, loss_plot, thinned
from olive_build.toolchains import provision
from olive_build.training.held_out import judge, loss_of, right_share
from olive_build.training.settings import Loss
from olive_build.training.verb.display import duration, judged
from olive_build.training.verb.examples import at_random, by_class
from olive_build.training.verb.process import train
from olive_build.training.verb.run import COMPARED, compare
from olive_build.training.verb.written import INFERENCE

RANDOM = np.random.default_rng(0)
LOGITS = (RANDOM.standard_normal((7, 3)) * 30).astype(np.float32)
NUMBERS = RANDOM.standard_normal((7, 3)).astype(np.float32)
CLASSES = np.array([0, 2, 1, 1, 0, 2, 2])
WEIGHTS = (0.2, 3.0, 1.0)


def test_the_loss_is_that_of_pytorch() -> None:
    given, classes = torch.tensor(LOGITS).double(), torch.tensor(CLASSES)
    numbers, yes = torch.tensor(NUMBERS).double(), (NUMBERS > 0).astype(np.float32)
    weighted = functional.cross_entropy(given, classes, torch.tensor(WEIGHTS).double())
    for loss, targets, expected in (
        (Loss("cross-entropy"), CLASSES, functional.cross_entropy(given, classes)),
        (Loss("cross-entropy", WEIGHTS), CLASSES, weighted),
        (Loss("mse"), NUMBERS, functional.mse_loss(given, numbers)),
        (Loss("l1"), NUMBERS, functional.l1_loss(given, numbers)),
        (
            Loss("bce-with-logits"),
            yes,
            functional.binary_cross_entropy_with_logits(given, torch.tensor(yes).double()),
        ),
    ):
        assert loss_of(loss, LOGITS, targets) == pytest.approx(expected.item(), rel=1e-6), loss
    assert right_share(Loss("cross-entropy"), LOGITS, LOGITS.argmax(1)) == 1
    assert right_share(Loss("bce-with-logits"), LOGITS, (LOGITS > 0) * 1.0) == 1
    assert right_share(Loss("mse"), LOGITS, NUMBERS) is None


class Doubles:
    """A model whose outputs are the examples and their doubles; it keeps how many it was given."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def evaluate(self, inputs: Sequence[Any], target: Any) -> tuple[float, list[Any]]:
        self.batches.append(len(target))
        return math.nan, [inputs[0], inputs[0] * 2]


@pytest.mark.parametrize(("fixed", "batches"), [(False, [3, 3, 1]), (True, [3, 3, 3])])
def test_a_last_batch_is_filled_only_where_it_must_be(fixed: bool, batches: list[int]) -> None:
    """What fills it does not count."""
    model, loss = Doubles(), Loss("mse")
    found = judge(model, [LOGITS], NUMBERS, loss=loss, output=1, batch=3, fixed=fixed)
    assert model.batches == batches
    assert found.loss == loss_of(loss, LOGITS * 2, NUMBERS)
    assert np.array_equal(found.outputs[1], LOGITS * 2)


def test_each_class_is_held_out_by_its_share() -> None:
    targets = np.array([0] * 10 + [1] * 20 + [2] * 30)
    split = by_class(targets, ("a", "b", "c"), 0.2, 1)
    assert np.bincount(targets[split.held]).tolist() == [2, 4, 6]
    assert sorted([*split.held, *split.learned]) == list(range(60))
    assert np.array_equal(by_class(targets, ("a", "b", "c"), 0.2, 1).held, split.held)
    assert not np.array_equal(by_class(targets, ("a", "b", "c"), 0.2, 2).held, split.held)
    nothing = by_class(targets, ("a", "b", "c"), 0.0, 1)
    assert len(nothing.learned) == 60
    assert nothing.note is None


def test_a_class_that_is_too_small_is_named() -> None:
    split = by_class([0, 0, 0, 0, 1, 1], ("a", "b"), 0.25, 1)
    assert len(split.held) == 0
    assert split.note == "nothing is held out: of 2 examples of 'b', a share of 0.25 is 0"
    note = by_class([0, 0, 1, 1], ("a", "b"), 0.9, 1).note or ""
    assert "of 2 examples of 'a', a share of 0.9 is 2" in note
    assert len(at_random(10, 0.2, 1).held) == 2
    assert at_random(2, 0.2, 1).note == "nothing is held out: of 2 examples, a share of 0.2 is 0"
    assert at_random(2, 0.0, 1).note is None


@pytest.mark.parametrize(
    ("lowest", "highest", "ticks"),
    [
        (0.0, 1.63, [0.0, 0.5, 1.0, 1.5, 2.0]),
        (0.0, 0.0, [0.0, 0.2]),
        (0.0, 4e6, [0.0, 1e6, 2e6, 3e6, 4e6]),
        (-1.0, 1.0, [-1.0, -0.5, 0.0, 0.5, 1.0]),
    ],
)
def test_axes_have_round_numbers(lowest: float, highest: float, ticks: list[float]) -> None:
    assert around(lowest, highest) == pytest.approx(ticks)


def points(svg: str, kind: str) -> list[tuple[float, float]]:
    """Return the places of a line of the picture."""
    found = re.search(rf'<polyline class="{kind}" points="([^"]*)"', svg)
    assert found
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found[1].split())]


def test_the_picture_has_both_losses_where_they_belong() -> None:
    svg = loss_plot("A & B", [2.0, 1.0, math.nan, 0.5], [(0, 1.8), (4, 0.6)])
    ET.fromstring(svg)
    assert "A &amp; B" in svg
    assert "prefers-color-scheme: dark" in svg
    learned, held = points(svg, "step"), points(svg, "held")
    assert len(learned) == 3  # what is no number has no place
    assert held[0][0] < learned[0][0] < learned[-1][0] == held[-1][0]
    heights = [y for _, y in learned]
    assert heights == sorted(heights)  # a lower loss is lower
    for told in (">0.5<", ">2<", ">step<", ">loss<", "held out after 4 steps: 0.6"):
        assert told in svg
    assert "held out" not in loss_plot("none", [1.0], [])


def test_a_long_training_is_drawn_with_few_points() -> None:
    svg = loss_plot("long", list(np.linspace(3, 1, 100_000)), [])
    learned = points(svg, "step")
    assert MOST_POINTS / 2 < len(learned) <= MOST_POINTS
    assert len(svg) < 20_000
    assert thinned([(1.0, 2.0)]) == [(1.0, 2.0)]
    assert thinned([]) == []


def test_times_and_shares_are_told_as_people_do() -> None:
    assert [duration(s) for s in (0.04, 59.4, 65, 3600)] == [
        "0.0 s",
        "59.4 s",
        "1:05 min",
        "60:00 min",
    ]
    found = {"loss": 0.41, "accuracy": 0.875, "equal_error_rate": None}
    assert judged(found) == "loss 0.41, 87.5% right"
    told = "loss 1.234e+20, 87.5% right, equal error rate 5.0%"
    assert judged({**found, "loss": 1.23412e20, "equal_error_rate": 0.05}) == told
    assert judged({**found, "accuracy": None}) == "loss 0.41"


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("os.kill(os.getpid(), 11)", ["its process was killed by SIGSEGV", "the last words"]),
        ("os.kill(os.getpid(), 9)", ["killed by SIGKILL, as it is when memory runs out"]),
        ("sys.exit(3)", ["its process ended with code 3", "the last words"]),
        ("sys.exit(0)", ["its process ended with code 0"]),
    ],
)
def test_a_process_that_crashes_is_a_step_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, told: list[str]
) -> None:
    """Native code crashes where it pleases; what it said before is heard, and its log."""
    code = "import os, sys; sys.stdin.read(); print('{}', flush=True); "
    code += f"print('the last words', file=sys.stderr, flush=True); {program}"
    monkeypatch.setattr(provision, "command", lambda *_: [sys.executable, "-c", code])
    events = train({}, tmp_path / "log")
    assert next(events) == {}
    with pytest.raises(StepError) as caught:
        next(events)
    assert caught.value.what == "training stopped in the middle"
    for text in told:
        assert text in (caught.value.why or "")


def test_what_is_not_read_to_its_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time; print('{}', flush=True); time.sleep(600)"
    monkeypatch.setattr(provision, "command", lambda *_: [sys.executable, "-c", code])
    events = train({}, tmp_path / "log")
    next(events)
    events.close()  # returns at once: nobody waits for ten minutes


def compared(folder: Path, weight: float, outputs: int = 3, wanted: float = 1.0) -> float:
    """Compare a file that multiplies the logits by a weight with the logits themselves."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("x", 3), ("logits", outputs))
    ]
    with np.errstate(invalid="ignore"):  # zero times infinity
        by = numpy_helper.from_array(np.eye(3, outputs, dtype=np.float32) * weight, "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"])]
    graph = helper.make_graph(nodes, "times", values[:1], values[1:], [by])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(folder / INFERENCE))
    np.savez(folder / COMPARED, logits=LOGITS * np.float32(wanted))
    training = SimpleNamespace(outputs=("logits",), fixed_batch=None)
    job = SimpleNamespace(
        bundle=SimpleNamespace(training=training),
        examples=SimpleNamespace(compared=np.arange(len(LOGITS)), inputs={"x": LOGITS}),
        settings=SimpleNamespace(batch_size=4),
    )
    return compare(job, folder)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weight": math.nan}, "`logits` is infinite or NaN"),
        ({"weight": math.inf}, "`logits` is infinite or NaN"),
        ({"weight": 1.0, "wanted": math.nan}, "the trained model gives what is no finite number"),
        ({"weight": 1.0, "outputs": 1}, "`logits` is [4, 1]; [4, 3] is expected"),
        ({"weight": 1.01}, "outputs differ by up to"),
    ],
)
def test_an_exported_model_that_does_otherwise_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    """No number is as large as NaN, nor as small; a shape that fits by repeating is another one."""
    assert compared(tmp_path, 1.0) == 0
    with pytest.raises(ProofError) as caught:
        compared(tmp_path, **changes)
    assert told in caught.value.render()
