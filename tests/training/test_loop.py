"""Epochs: which examples a step sees, in which order, and how many steps there are."""

from __future__ import annotations

from itertools import chain
from typing import Any, cast

import numpy as np
import pytest

from olive_build.errors import StepError
from olive_build.training.loop import train_epochs
from olive_build.training.session import TrainingSession


class Recorder:
    """A session that keeps what each step was given."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def step(self, inputs: list[np.ndarray[Any, Any]], target: np.ndarray[Any, Any]) -> float:
        assert (inputs[0][:, 0] == target * 10).all()
        self.seen.append(target.tolist())
        return float(len(self.seen))


def run(count: int, **options: Any) -> tuple[list[list[int]], list[Any]]:
    recorder = Recorder()
    targets = np.arange(count)
    inputs = [np.repeat(targets[:, None] * 10, 3, axis=1)]
    session = cast("TrainingSession", recorder)
    options = {"batch_size": 4, "epochs": 2, "seed": 5} | options
    return recorder.seen, list(train_epochs(session, inputs, targets, **options))


def test_each_epoch_sees_each_example_once_in_a_new_order() -> None:
    seen, done = run(12)
    epochs = [[*chain(*seen[:3])], [*chain(*seen[3:])]]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != list(range(12))
    assert [(d.epoch, d.step, d.loss) for d in done] == [
        (1, 1, 1.0),
        (1, 2, 2.0),
        (1, 3, 3.0),
        (2, 4, 4.0),
        (2, 5, 5.0),
        (2, 6, 6.0),
    ]
    assert {(d.epochs, d.steps) for d in done} == {(2, 6)}


def test_the_seed_alone_fixes_the_order() -> None:
    assert run(12)[0] == run(12)[0] != run(12, seed=6)[0]


def test_the_last_batch_may_be_smaller_so_that_nothing_is_left_out() -> None:
    seen, done = run(11)
    assert [len(batch) for batch in seen] == [4, 4, 3, 4, 4, 3]
    assert done[-1].steps == done[-1].step == 6
    assert sorted([*chain(*seen[:3])]) == list(range(11))


def test_an_incomplete_last_batch_is_dropped_where_graphs_cannot_take_it() -> None:
    seen, _ = run(11, drop_last=True)
    assert [len(batch) for batch in seen] == [4, 4, 4, 4]


def test_an_only_batch_may_be_incomplete() -> None:
    seen, _ = run(3, epochs=1, drop_last=True)
    assert [sorted(batch) for batch in seen] == [[0, 1, 2]]


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(StepError, match="there is no example to train on"):
        run(0)


def test_arrays_of_different_lengths_are_an_error() -> None:
    session = cast("TrainingSession", Recorder())
    steps = train_epochs(session, [np.zeros((5, 1))], np.zeros(4), batch_size=2, epochs=1, seed=0)
    with pytest.raises(StepError, match="different numbers of examples") as info:
        list(steps)
    assert info.value.why == "5, 4"
