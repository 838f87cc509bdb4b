"""References of tasks: what transformers gives its model for each sample, and gets from it.

reference.json   kind, the task, what its answers need (`known`), what fills up short samples
                 (`pads`), names of inputs and outputs
reference.npz    input.<name> [values of all samples] with input.<name>.shapes [samples, axes];
                 output.<name> likewise, what is kept of it; output.<name>.whole [samples, axes],
                 its shape in PyTorch
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from olive_build import rooms
from olive_build.clients.onnxruntime_client import run_named
from olive_build.errors import StepError
from olive_build.proof.embedding import Floats, cosine_figures, largest_difference

BATCH, DIGITS = 8, 7
Rows = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class TaskReference:
    """Samples as the library gives them to the network, each with what is kept of its outputs.

    `whole` are the shapes of the outputs before anything was left out, by output, one a sample.
    """

    task: str
    known: Mapping[str, Any]
    pads: Mapping[str, int]
    feeds: Sequence[Arrays]
    outputs: Sequence[Arrays]
    whole: Mapping[str, Sequence[tuple[int, ...]]]

    kind: ClassVar[str] = "task"
    metric: ClassVar[str] = "agreement"
    samples: ClassVar[str] = "samples"

    @property
    def count(self) -> int:
        return len(self.feeds)

    @cached_property
    def asked(self) -> Any:
        """The task, which says how answers follow from outputs."""
        return rooms.module("tasks", self.task.replace("-", "_")).SIDE.task

    @cached_property
    def expected(self) -> Floats:
        """What is kept of the outputs, a row each, filled up with zeros: [samples, values]."""
        return self._rows(self.outputs)

    def batches(self) -> list[Rows]:
        """Return the rows of each batch; none where the task takes one sample at a time."""
        if not self.asked.batches:
            return []
        rows = np.random.default_rng(0).permutation(self.count)
        return [
            alike[start : start + BATCH]
            for alike in self._alike(rows)
            for start in range(0, len(alike), BATCH)
        ]

    def _alike(self, rows: Rows) -> Iterator[Rows]:
        """Yield rows that may be one batch: all, or those of one size where none is filled up."""
        if self.asked.pads:
            yield rows
            return
        sizes = [tuple(array.shape for array in self.feeds[row].values()) for row in rows]
        for size in dict.fromkeys(sizes):
            yield rows[[each == size for each in sizes]]

    def run(self, session: Any, rows: Rows) -> Floats:
        """Return what is kept of a file's outputs for these samples: [rows, values].

        They are one batch where the task takes batches. Raises StepError where the file has other
        inputs, outputs or shapes.
        """
        if not self.asked.batches:
            found = [self._run(session, [int(row)])[0] for row in rows]
        else:
            found = self._run(session, [int(row) for row in rows])
        return self._rows(found)

    def compare(self, candidate: Floats, expected: Floats) -> dict[str, float]:
        """Return how many answers are the library's, and how near the outputs are to its own."""
        agreed = [
            self._agreement(row, given, wanted)
            for row, (given, wanted) in enumerate(zip(candidate, expected, strict=True))
        ]
        return {
            "answer_agreement": round(float(np.mean(agreed)), DIGITS),
            **cosine_figures(candidate, expected),
            "outputs_difference": largest_difference(candidate, expected),
        }

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what reference.json and reference.npz hold."""
        described = {
            "task": self.task,
            "known": self.known,
            "pads": dict(self.pads),
            "inputs": list(self.feeds[0]),
            "outputs": list(self.outputs[0]),
        }
        arrays = {}
        for kind, samples in (("input", self.feeds), ("output", self.outputs)):
            for name in samples[0]:
                values = [sample[name] for sample in samples]
                arrays[f"{kind}.{name}"] = np.concatenate([value.reshape(-1) for value in values])
                arrays[f"{kind}.{name}.shapes"] = np.array([value.shape for value in values])
        for name, shapes in self.whole.items():
            arrays[f"output.{name}.whole"] = np.array(shapes)
        return described, arrays

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> TaskReference:
        """Return the reference of what was stored. Raises ValueError, KeyError or TypeError."""
        task, names = str(described["task"]), described["outputs"]
        if task.replace("-", "_") not in rooms.names("tasks"):
            raise ValueError(f"the task {task!r:.60} is not known")
        feeds = _samples(arrays, "input", described["inputs"])
        outputs = _samples(arrays, "output", names)
        whole = {name: _shapes(arrays[f"output.{name}.whole"]) for name in names}
        counts = {len(feeds), len(outputs), *map(len, whole.values())}
        if not feeds or len(counts) > 1:
            raise ValueError("inputs and outputs differ in number")
        pads = {str(name): int(value) for name, value in described["pads"].items()}
        known = described["known"]
        if not isinstance(known, dict):
            raise TypeError("`known` is no object")
        return TaskReference(task, known, pads, feeds, outputs, whole)

    def _run(self, session: Any, rows: Sequence[int]) -> list[Arrays]:
        feeds = self.asked.group([self.feeds[row] for row in rows], self.pads)
        takes = {value.name: value.shape for value in session.get_inputs()}
        gives = [value.name for value in session.get_outputs()]
        lacking = sorted(set(self.outputs[0]) - set(gives))
        if lacking or set(takes) - set(feeds):
            raise StepError(
                "the model has other inputs or outputs than its reference",
                why=f"it takes {', '.join(takes)} and gives {', '.join(gives)}; "
                f"{', '.join(feeds)} and {', '.join(self.outputs[0])} are expected",
            )
        given = {name: self._fitted(name, feeds[name], takes[name]) for name in takes}
        found = dict(zip(gives, run_named(session, given), strict=True))
        return [self._kept(row, place, found) for place, row in enumerate(rows)]

    def _fitted(
        self, name: str, array: npt.NDArray[Any], wanted: Sequence[Any]
    ) -> npt.NDArray[Any]:
        """Return an input filled up to the sizes that a file fixes."""
        pairs = list(zip(array.shape, wanted, strict=True))
        grown = [(0, size - have if isinstance(size, int) else 0) for have, size in pairs]
        if any(more < 0 for _, more in grown):
            raise StepError(
                f"a sample is larger than the file takes: {name} is {list(array.shape)}",
                why=f"the file takes {list(wanted)}",
            )
        return np.pad(array, grown, constant_values=self.pads.get(name, 0))

    def _kept(self, row: int, place: int, found: Arrays) -> Arrays:
        """Return what is kept of one sample of a batch, cut to the size that it has alone."""
        alone = {}
        for name in self.outputs[row]:
            shape = self.whole[name][row]
            value = found[name][place : place + 1] if self.asked.batches else found[name]
            value = value[tuple(slice(size) for size in shape)].astype(np.float32)
            if value.shape != tuple(shape):
                raise StepError(
                    f"the model's output {name} has another shape than PyTorch's",
                    why=f"it is {list(value.shape)}; {list(shape)} is expected",
                )
            alone[name] = value
        kept: Arrays = self.asked.kept(alone, self.feeds[row], self.known)
        return kept

    def _rows(self, samples: Sequence[Arrays]) -> Floats:
        flat = [
            np.concatenate([value.reshape(-1) for value in sample.values()]) for sample in samples
        ]
        found = np.zeros((len(flat), self._width), np.float32)
        for row, values in enumerate(flat):
            found[row, : len(values)] = values
        return found

    @cached_property
    def _width(self) -> int:
        return max(sum(value.size for value in sample.values()) for sample in self.outputs)

    def _agreement(self, row: int, candidate: Floats, expected: Floats) -> float:
        if not np.isfinite(candidate).all():
            return 0.0
        answers = [
            self.asked.answer(self._unpacked(row, values), self.feeds[row], self.known)
            for values in (candidate, expected)
        ]
        return float(self.asked.agreement(*answers, self.known))

    def _unpacked(self, row: int, values: Floats) -> Arrays:
        found, start = {}, 0
        for name, like in self.outputs[row].items():
            found[name] = values[start : start + like.size].reshape(like.shape)
            start += like.size
        return found


def _samples(
    arrays: Mapping[str, npt.NDArray[Any]], kind: str, names: Sequence[str]
) -> list[dict[str, npt.NDArray[Any]]]:
    """Return the arrays of each sample by name. Raises ValueError where sizes do not fit."""
    columns = {}
    for name in names:
        values, shapes = arrays[f"{kind}.{name}"], _shapes(arrays[f"{kind}.{name}.shapes"])
        sizes = [int(np.prod(shape)) for shape in shapes]
        if min((*sizes, 0)) < 0 or sum(sizes) != values.size:
            raise ValueError(f"{kind}.{name} and its shapes differ in size")
        ends = np.cumsum(sizes)
        columns[name] = [
            values[end - size : end].reshape(shape)
            for end, size, shape in zip(ends, sizes, shapes, strict=True)
        ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _shapes(array: npt.NDArray[Any]) -> list[tuple[int, ...]]:
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError("shapes are not whole numbers [samples, axes]")
    return [tuple(map(int, row)) for row in array]


REFERENCE = TaskReference
