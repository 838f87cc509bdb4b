"""References of tasks: filled up in batches, cut again, stored, and refused where wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from olive_build.errors import BundleError, StepError
from olive_build.proof.quality import measure_quality
from olive_build.proof.reference import read_reference, write_reference
from olive_build.proof.references.task import TaskReference

LABELS = ["O", "PER", "LOC"]


def logits_of(ids: Any) -> Any:
    """Return what a token says of itself: its class is its number."""
    return np.eye(3, dtype=np.float32)[ids % 3] * 4


class Session:
    """A file that labels tokens; with `fixed` it takes that many tokens, and is off by `wrong`."""

    def __init__(
        self, fixed: int | None = None, wrong: float = 0.0, output: str = "logits"
    ) -> None:
        self.length = fixed or "sequence_length"
        self.wrong, self.output, self.batches = wrong, output, []

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="input_ids", shape=["batch_size", self.length], type="")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name=self.output)]

    def run(self, _: None, feeds: dict[str, Any]) -> list[Any]:
        self.batches.append(feeds["input_ids"].shape)
        return [logits_of(feeds["input_ids"]) + self.wrong * np.arange(3, dtype=np.float32)]


@pytest.fixture
def reference() -> TaskReference:
    lengths = (3, 5, 2, 4)
    ids = [np.arange(n, dtype=np.int64)[None] + n for n in lengths]
    special = [np.zeros_like(row) for row in ids]
    return TaskReference(
        task="token-classification",
        known={"labels": LABELS},
        pads={"input_ids": 7},
        feeds=[
            {"input_ids": row, "special_tokens_mask": mask}
            for row, mask in zip(ids, special, strict=True)
        ],
        outputs=[{"logits": logits_of(row)} for row in ids],
        whole={"logits": [(1, n, 3) for n in lengths]},
    )


def test_a_right_file_answers_as_the_library_singly_and_in_filled_up_batches(
    reference: TaskReference,
) -> None:
    session = Session()
    found = measure_quality(session, reference).as_json()
    assert (found["answer_agreement"], found["outputs_difference"]) == (1.0, 0.0)
    assert (4, 5) in session.batches and (1, 2) in session.batches


def test_a_file_of_fixed_size_is_filled_up_and_its_answers_are_cut(
    reference: TaskReference,
) -> None:
    session = Session(fixed=6)
    assert measure_quality(session, reference).as_json()["answer_agreement"] == 1.0
    assert {shape[1] for shape in session.batches} == {6}
    with pytest.raises(StepError, match="a sample is larger than the file takes"):
        measure_quality(Session(fixed=4), reference)


def test_a_wrong_file_is_seen(reference: TaskReference) -> None:
    found = measure_quality(Session(wrong=5.0), reference).as_json()
    assert found["answer_agreement"] < 0.7 and found["outputs_difference"] > 1
    with pytest.raises(StepError, match="other inputs or outputs"):
        measure_quality(Session(output="scores"), reference)


def test_answers_of_nan_agree_with_nothing(reference: TaskReference) -> None:
    broken = reference.expected.copy()
    broken[0, 0] = np.nan
    found = reference.compare(broken, reference.expected)
    assert found["answer_agreement"] == 0.75
    assert found["outputs_difference"] > 1e30 and found["cosine_lowest"] == -1


def test_it_is_stored_and_read_as_it_was(reference: TaskReference, tmp_path: Path) -> None:
    write_reference(reference, tmp_path)
    again = read_reference(tmp_path)
    assert np.array_equal(again.expected, reference.expected)
    assert measure_quality(Session(), again).as_json()["answer_agreement"] == 1.0


@pytest.mark.parametrize(
    ("array", "value", "why"),
    [
        ("input.input_ids.shapes", np.full((4, 2), 99), "differ in size"),
        ("input.input_ids.shapes", np.full((4, 2), -1), "differ in size"),
        ("output.logits.shapes", np.zeros((4, 3)), "whole numbers"),
        ("output.logits.whole", np.ones((3, 3), np.int64), "differ in number"),
    ],
)
def test_arrays_that_do_not_fit_are_an_error_of_the_bundle(
    reference: TaskReference, tmp_path: Path, array: str, value: Any, why: str
) -> None:
    write_reference(reference, tmp_path)
    arrays = dict(np.load(tmp_path / "reference.npz"))
    np.savez(tmp_path / "reference.npz", **{**arrays, array: value})
    with pytest.raises(BundleError, match="the stored references cannot be read") as error:
        read_reference(tmp_path)
    assert why in str(error.value.why)


def test_an_unknown_task_is_an_error_of_the_bundle(
    reference: TaskReference, tmp_path: Path
) -> None:
    write_reference(reference, tmp_path)
    path = tmp_path / "reference.json"
    path.write_text(path.read_text().replace("token-classification", "../etc"))
    with pytest.raises(BundleError) as error:
        read_reference(tmp_path)
    assert "'../etc' is not known" in str(error.value.why)
