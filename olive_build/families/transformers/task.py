"""What a task says of itself. Light: numpy is imported where arrays are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.families.facts import Axes
from olive_build.values import dataclass

if TYPE_CHECKING:
    import numpy.typing as npt

# Inputs or outputs of a network by name, of one sample: each array has a first axis of 1.
Arrays = Mapping[str, "npt.NDArray[Any]"]
# What the model's own files say and answers need: names of classes, special tokens.
Known = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task for any model of transformers with one graph.

    `classes` are the endings of transformers' classes that serve it, and `auto` the class that
    loads the others. `outputs` are those of the network's outputs that clients read. `pipeline` is
    what transformers calls the pipeline that is the judge, where that is not the task's name.
    `samples` names what a file of data holds, and ends in `data_suffix`. What the network is given
    is timed at `sizes`, counted in `size_unit`. Axes that are free in a graph have the names of
    `axes`. `fields` are those that each line of a file of texts has. `batches` says whether a file
    takes several samples at once, `pads` whether one that was filled up is answered as before,
    and `truncates` whether the library cuts a text that is too long.
    `options` are the sections of a recipe that are its own.
    """

    name: str
    description: str
    pipeline: str = ""
    classes: tuple[str, ...]
    auto: str
    outputs: tuple[str, ...]
    samples: str
    data_suffix: str
    size_unit: str
    tasks: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    calibration: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (1,)
    axes: tuple[tuple[str, int], ...] = (("batch_size", 1),)
    batches: bool = True
    pads: bool = True
    truncates: bool = False
    convolutional: bool = False
    fields: tuple[str, ...] = ("text",)
    options: tuple[str, ...] = ()
    method_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def asked(self) -> str:
        """The name of transformers' pipeline."""
        return self.pipeline or self.name

    # Light: what a bundle's code says of a model.

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the code has to know of the files in `folder`; `config` is its config.json.

        Raises PlanError where they cannot be read.
        """
        return {}

    def notes(self, folder: Path) -> tuple[str, ...]:
        """Return lines of the plan about what a graph does otherwise than the library."""
        return ()

    def template(self, language: str, shown: Mapping[str, Any]) -> str:
        """Return the name of the template that asks this of a model, without the language's."""
        return self.name

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        """Return what templates name, of what `shown` returned and a graph's inputs.

        `most` is how many tokens the model reads at most. Raises BundleError for an input that no
        code of ours can give.
        """
        return {}

    def written(self, shown: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the files that clients read and the folder lacks, or has otherwise."""
        return {}

    # In a worker with transformers: samples in, the library's answers out.

    def read(self, data: Path) -> Sequence[Any]:
        """Return the samples of a file. Raises StepError for bad data."""
        raise NotImplementedError

    def examples(self, library: Any) -> Sequence[Any]:
        """Return samples of different sizes, at which a graph is traced and compared."""
        raise NotImplementedError

    def ask(self, library: Any, sample: Any) -> Any:
        """Return what the library answers; on the way it calls the model once.

        By default that is transformers' pipeline of this task.
        """
        return library.pipeline(sample)

    def beside(self, library: Any, sample: Any) -> dict[str, npt.NDArray[Any]]:
        """Return what an answer needs of a sample and the network is not given; by name."""
        return {}

    def known(self, library: Any) -> dict[str, Any]:
        """Return what answers need of the model's files, as JSON has it."""
        return {}

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        """Return the library's answer in the form of `answer`; None where it has none of its own.

        A build stops where ours is another, on the library's own outputs.
        """
        return None

    # With numpy alone: what stands in a bundle is judged by these.

    def kept(self, outputs: Arrays, feeds: Arrays, known: Known) -> Arrays:
        """Return what is stored and compared of a sample's outputs."""
        return outputs

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        """Return the answer that follows from what was kept of a sample's outputs."""
        raise NotImplementedError

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return how far an answer is the expected one: 1 where it is, 0 where nothing is."""
        return float(found == expected)

    def is_same(self, found: Any, expected: Any, known: Known) -> bool:
        """Whether our reading of the library's own outputs is what the library says."""
        return self.agreement(found, expected, known) == 1.0

    def group(self, records: Sequence[Arrays], pads: Mapping[str, int]) -> dict[str, Any]:
        """Return the inputs of several samples as one batch; shorter ones are padded."""
        import numpy as np

        found = {}
        for name in records[0]:
            arrays = [record[name] for record in records]
            sizes = np.max([array.shape[1:] for array in arrays], axis=0)
            padded = [
                np.pad(
                    array,
                    [
                        (0, 0),
                        *(
                            (0, int(size) - have)
                            for size, have in zip(sizes, array.shape[1:], strict=True)
                        ),
                    ],
                    constant_values=pads.get(name, 0),
                )
                for array in arrays
            ]
            found[name] = np.concatenate(padded)
        return found

    def axis(self, name: str, index: int) -> str:
        """Return what the axis of an input is called that is free in the graph."""
        if index == 0:
            return "batch_size"
        return "sequence_length" if index == 1 else f"{name}_{index}"
