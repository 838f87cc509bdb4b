"""The kinds of model that can be built: what a recipe may ask of each, found by walking the room.

A family is a folder here; what reading a recipe needs of it stands in its `family.py`, which
imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build import rooms
from olive_build.families import family_module
from olive_build.values import dataclass

if TYPE_CHECKING:
    from olive_build.families.facts import Facts
    from olive_build.families.transformers.task import Task

# What is measured of models of a task: `proof/figures/agreement.py`.
AGREEMENT = "agreement"


@dataclass(frozen=True)
class Family:
    """What a recipe may name for models of this family.

    `tasks` are the Hugging Face tasks that map to it; `metrics`, `data` and `calibration` what
    `verify` may use (the first of each is the default; without any, a recipe names a file of its
    own); `components` the graphs that such models can have, as recipes name them: which ones a
    model has, its facts say; `files` those of `compose: split`, each with the components that are
    joined in it, one each by default. A file of data holds `samples` and ends in `data_suffix`;
    `miniature_data` are those of a miniature's folder that stand in for the recipe's data and
    calibration, which fit its own model only. `takes` says what a composed file is given and what a
    bare graph is; `parts` are the graphs of pre- and post-processing that composing adds, with
    operators of onnxruntime-extensions. Files are timed at these `sizes`, counted in `size_unit`.
    `axes` are the symbolic axes of its graphs, each with the size suggested where sizes are fixed.
    `searches` says whether `quantize: auto` and attribution know its graphs, `calibrates` whether
    methods that look at inner values do, `batches` whether a file takes several samples at once,
    and `options` which sections of a recipe are its own. `method_options` are what methods do by
    default for it that they else do not, and `variant_methods` the methods of those built-in
    variants where its own are better. `convolutional` says whether its models may have their
    weights in convolutions, which have int8 methods of their own. `hides_steps` says whether a
    composed file searches by itself, so that figures of single steps need the graph inside it.
    `classes` are the endings of transformers' classes that it builds, and `encoders` of those out
    of which it takes the encoder alone; a bare model, such as BertModel, is taken wherever its
    tensors suffice. A `generic` one is a task (`tasks/`), which any architecture of transformers
    may serve.
    """

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    samples: str
    data_suffix: str
    takes: tuple[str, str]
    size_unit: str
    description: str
    data: tuple[str, ...] = ()
    calibration: tuple[str, ...] = ()
    miniature_data: tuple[str, str] | None = None
    parts: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (1,)
    components: tuple[str, ...] = ("model",)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    axes: tuple[tuple[str, int], ...] = (("batch_size", 1),)
    searches: bool = True
    calibrates: bool = True
    batches: bool = True
    options: tuple[str, ...] = ()
    method_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variant_methods: Mapping[str, str] = field(default_factory=dict)
    convolutional: bool = False
    hides_steps: bool = False
    classes: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    generic: bool = False

    def inspect(self, folder: Path) -> Facts:
        """Return the facts of the model in `folder`, which the family's `spec` reads.

        Raises PlanError for a model that is not one of this family.
        """
        facts: Facts = family_module(self.name, "spec").inspect(folder)
        return facts


class _Found(Mapping[str, Family]):
    """The families by name, which is a folder's or a file's, each imported when it is asked for."""

    def __getitem__(self, name: str) -> Family:
        folder = name.replace("-", "_")
        if name not in _names(rooms.extensions()):
            raise KeyError(name)
        if folder in rooms.names("tasks"):
            return _of_task(rooms.module("tasks", folder).SIDE.task)
        own: Family = import_module(f"olive_build.families.{folder}.family").FAMILY
        return own

    def __iter__(self) -> Iterator[str]:
        return iter(_names(rooms.extensions()))

    def __len__(self) -> int:
        return len(_names(rooms.extensions()))


@cache
def _names(extensions: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the names of the families, by their folders, and of the tasks, by their files."""
    folders = [path.parent.name for path in rooms.files("families", "*/family.py")]
    return tuple(sorted(name.replace("_", "-") for name in (*folders, *rooms.names("tasks"))))


FAMILIES: Mapping[str, Family] = _Found()


def _of_task(task: Task) -> Family:
    """Return what a recipe may name for models of a task."""
    return Family(
        name=task.name,
        tasks=task.tasks,
        metrics=(AGREEMENT,),
        samples=task.samples,
        data_suffix=task.data_suffix,
        data=task.data,
        calibration=task.calibration,
        takes=("inputs", "inputs"),
        sizes=task.sizes,
        size_unit=task.size_unit,
        description=task.description,
        axes=task.axes,
        batches=task.batches,
        convolutional=task.convolutional,
        searches=False,
        variant_methods={"fast": "dynamic-int8"},
        options=task.options,
        classes=task.classes,
        method_options=task.method_options,
        generic=True,
    )


def family_of_task(task: str) -> Family | None:
    """Return the family that serves a Hugging Face task, or None where none does."""
    return next((family for family in FAMILIES.values() if task in family.tasks), None)
