"""Which task a model is built for, by which family: what its class serves, unless a task is asked.

A family of its own goes before the tasks that any architecture may serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError, UsageError
from olive_build.families.architectures import is_taken, task_of
from olive_build.families.facts import Facts
from olive_build.families.folder_checks import check_folder
from olive_build.families.registry import FAMILIES, Family
from olive_build.proposing.model import Found
from olive_build.recipe.suggest import did_you_mean, listed

# By what a family reads, the processor that prepares it, where the library has no pipeline.
PREPARES = {"texts": "tokenizer", "pictures": "image_processor", "images": "image_processor"}


@dataclass(frozen=True)
class Choice:
    """A family, the task that it is chosen for, what its model is, and what else it serves."""

    family: Family
    task: str
    architecture: str
    facts: Facts
    others: tuple[str, ...]


def choose(found: Found, read: Mapping[str, Any], asked: str | None) -> Choice:
    """Return what a model is built as; `read` is what transformers says of it (`reading`).

    Raises UsageError for a task that its class does not serve, PlanError where no family builds
    it, where a processor is not there, and where Python packages are missing.
    """
    architecture = str(read["class"])
    served = _served(architecture, read["tasks"], read["task"])
    task = _task(architecture, served, read["task"], asked)
    _require_packages(found.folder, read, served[task][0], task)
    _require_processors(found.folder, read, served[task][0], task)
    family, facts = _first_able(found, served[task])
    others = tuple(name for name in served if name != task)
    return Choice(family, task, architecture, facts, others)


def _served(architecture: str, tasks: Sequence[str], likely: str) -> dict[str, list[Family]]:
    """Return the families that build models of a class, by the task that each serves."""
    served: dict[str, list[Family]] = {}
    for family in sorted(FAMILIES.values(), key=lambda item: item.generic):
        for task in _tasks_of(family, architecture, (*tasks, likely)):
            served.setdefault(task, []).append(family)
    return served


def _tasks_of(family: Family, architecture: str, tasks: Sequence[str]) -> Sequence[str]:
    if architecture.endswith(family.classes or ("\0",)):
        return [task for task in family.tasks if task in tasks] or family.tasks or tasks[:1]
    if family.generic or not is_taken(family, architecture):
        return ()
    is_encoder = architecture.endswith(family.encoders or ("\0",))
    return [task for task in family.tasks if is_encoder or task in tasks]


def _task(
    architecture: str, served: Mapping[str, Sequence[Family]], likely: str, asked: str | None
) -> str:
    if not served:
        known = sorted({task for family in FAMILIES.values() for task in family.tasks})
        raise PlanError(
            f"no family builds a {architecture}",
            why=f"it is for {task_of(architecture) or likely or 'a task that is not known'}",
            hint=f"what can be built: {listed(known)}",
        )
    if asked is not None and asked not in served:
        raise UsageError(
            f"a {architecture} does not serve the task '{asked}'",
            where="--task",
            why=f"its head is for {listed(list(served))}",
            hint=did_you_mean(asked, served, "leave out --task, or take a checkpoint for it"),
        )
    return asked or (likely if likely in served else next(iter(served)))


def _needed(read: Mapping[str, Any], family: Family, task: str) -> list[str]:
    named = read["needs"].get(task)
    return named or [part for part in [PREPARES.get(family.samples)] if part]


def _require_packages(folder: Path, read: Mapping[str, Any], family: Family, task: str) -> None:
    """Raise PlanError where packages of Python are missing that the model is read with."""
    parts = {part: read["lacking"].get(part, {}) for part in _needed(read, family, task)}
    missing = dict.fromkeys(read["packages"], "its backbone")
    for part, lacking in parts.items():
        missing |= dict.fromkeys(lacking.get("packages", ()), f"its {part.replace('_', ' ')}")
    if missing:
        raise PlanError(
            f"Python packages are missing that the model is read with: {', '.join(missing)}",
            where=str(folder),
            why="; ".join(f"{name} is for {use}" for name, use in missing.items()),
            hint=f"pip install {' '.join(missing)}",
        )


def _require_processors(folder: Path, read: Mapping[str, Any], family: Family, task: str) -> None:
    """Raise PlanError where what prepares the model's inputs cannot be read."""
    for part in _needed(read, family, task):
        lacking = read["lacking"].get(part)
        if lacking:
            what = part.replace("_", " ")
            raise PlanError(
                f"the model's {what} cannot be read, and {task} needs it",
                where=str(folder),
                why=lacking["why"],
                hint=f"save it beside the model: {what.replace(' ', '_')}.save_pretrained(folder) "
                "of the one that it was trained with",
            )


def _first_able(found: Found, families: Sequence[Family]) -> tuple[Family, Facts]:
    """Return the first family that takes the model. Raises the error of the one that is nearest."""
    errors: list[PlanError] = []
    for family in families:
        try:
            if found.is_here:
                check_folder(found.folder, family.name)
            return family, family.inspect(found.folder)
        except PlanError as error:
            errors.append(error)
    raise errors[0]
