"""The examples that a person trains with, and those of them that are kept for judging."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.errors import UsageError
from olive_build.families import family_module
from olive_build.training.verb.bundle import TrainingBundle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Rows = npt.NDArray[np.int64]

# As many examples show whether an exported model does as the evaluation model.
MOST_COMPARED = 64


@dataclass(frozen=True)
class Split:
    """Which rows are learned from and which are held out; `note` says why none is."""

    learned: Rows
    held: Rows
    note: str | None = None


@dataclass(frozen=True)
class Examples:
    """Examples by the graphs' input names, each [examples, ...], with `targets` [examples, ...].

    `classes` names the class of each, where the loss knows classes.
    """

    inputs: dict[str, Array]
    targets: Array
    classes: tuple[str, ...]
    split: Split

    @property
    def compared(self) -> Rows:
        """The rows on which the trained model is compared with its exported form."""
        rows = self.split.held if len(self.split.held) else self.split.learned
        return rows[:MOST_COMPARED]

    def left_out(self, batch: int | None) -> int:
        """Return how many examples are over in each epoch where batches must be full."""
        return len(self.split.learned) % batch if batch else 0

    @property
    def digest(self) -> str:
        """A digest of all numbers, by which the same data is known again."""
        import numpy as np

        found = hashlib.sha256()
        for array in (*self.inputs.values(), self.targets):
            found.update(repr((array.shape, array.dtype.str)).encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def counts(self, rows: Rows) -> dict[str, int]:
        """Return how many of the rows each class has, every class named."""
        found = Counter(self.classes[row] for row in rows)
        return {name: found[name] for name in dict.fromkeys(self.classes)}

    def write(self, path: Path) -> None:
        """Write what `training.train_child` reads."""
        import numpy as np

        parts = {
            "input": ("target", self.split.learned),
            "held": ("held_target", self.split.held),
            "compared": ("compared_target", self.compared),
        }
        arrays: dict[str, Any] = {}
        for part, (target, rows) in parts.items():
            arrays |= {f"{part}.{name}": array[rows] for name, array in self.inputs.items()}
            arrays[target] = self.targets[rows]
        np.savez(path, **arrays)


def read_examples(bundle: TrainingBundle, data: Path, hold_out: float, seed: int) -> Examples:
    """Read a person's data as the bundle's family does, and divide it.

    Raises UsageError for data that cannot be read, or that the graphs do not take.
    """
    training = bundle.training
    read = family_module(bundle.manifest.model.family, "examples").read_examples
    found = read(data, training.data, bundle.folder, training.labels, training.loss.name)
    # The recipe may have renamed the graphs' inputs.
    inputs = {item.name: found.inputs[item.of_family] for item in training.inputs}
    targets = found.targets
    if training.has_classes:
        classes = tuple(training.labels[int(target)] for target in targets)
        split = by_class(targets, training.labels, hold_out, seed)
    else:
        classes = ("all",) * len(targets)
        split = at_random(len(targets), hold_out, seed)
    _check_batch(bundle, data, len(split.learned))
    return Examples(inputs, targets, classes, split)


def by_class(
    targets: Sequence[int] | Array, labels: Sequence[str], share: float, seed: int
) -> Split:
    """Hold the share of each class out, at random by the seed; none where a class is too small."""
    import numpy as np

    targets = np.asarray(targets)
    everything = np.arange(len(targets))
    if not share:
        return Split(everything, everything[:0])
    random = np.random.default_rng(seed)
    held = []
    for number in np.unique(targets):
        rows = np.flatnonzero(targets == number)
        count = round(len(rows) * share)
        if not 0 < count < len(rows):
            note = (
                f"nothing is held out: of {len(rows)} examples of '{labels[number]}', a share of "
                f"{share:g} is {count}"
            )
            return Split(everything, everything[:0], note)
        held.append(random.permutation(rows)[:count])
    kept = np.sort(np.concatenate(held))
    return Split(np.setdiff1d(everything, kept), kept)


def at_random(examples: int, share: float, seed: int) -> Split:
    """Hold the share of all examples out, at random by the seed; none where they are too few."""
    import numpy as np

    everything = np.arange(examples)
    count = round(examples * share)
    if not 0 < count < examples:
        note = f"nothing is held out: of {examples} examples, a share of {share:g} is {count}"
        return Split(everything, everything[:0], note if share else None)
    kept = np.sort(np.random.default_rng(seed).permutation(everything)[:count])
    return Split(np.setdiff1d(everything, kept), kept)


def _check_batch(bundle: TrainingBundle, data: Path, learned: int) -> None:
    fixed = bundle.training.fixed_batch
    if fixed and learned < fixed:
        raise UsageError(
            f"{learned} examples are too few to train with",
            where=str(data),
            why=f"the bundle's graphs take {fixed} at a time, which its recipe fixed",
            hint="add examples, hold fewer out with --hold-out, or build the bundle with a free "
            "batch",
        )
