"""A model -> the text of a recipe that validates and plans, and what was assumed on the way."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

from olive_build.engine.graph import GraphBuilder
from olive_build.engine.once import run_once
from olive_build.engine.store import Store
from olive_build.errors import PlanError, UsageError
from olive_build.plan.planner import asked_of
from olive_build.plan.types import Plan, Request
from olive_build.prepare import plan_builds
from olive_build.proposing.asked import Asked
from olive_build.proposing.choice import Choice, choose
from olive_build.proposing.licences import SPDX, UNKNOWN
from olive_build.proposing.model import Found, find_model
from olive_build.proposing.room import require_room
from olive_build.recipe.context import locate, repository_of
from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.draft import Draft
from olive_build.recipe.load import LoadedRecipe, check_text
from olive_build.recipe.model import LONGEST_NAME, VERSION
from olive_build.recipe.resolve import resolve
from olive_build.recipe.suggest import did_you_mean, listed
from olive_build.recipe.tree import KeyPath
from olive_build.recipe.variants import BUILT_IN_METHODS
from olive_build.steps.read_model import READ, ReadModel
from olive_build.targets import load_provider, load_target, target_names

DEFAULT_TARGET = "desktop"
# What a search makes takes minutes; a first build has what it would begin with.
IN_PLACE_OF_SEARCHES = ("int8", "fp32")
# What compares a file with the library alone: no right answer is known to these.
OF_AGREEMENT = ("agreement", "cosine")
COMMENT_COLUMNS = 96
Report = Callable[[str], None]


@dataclass
class Proposed:
    """A recipe's text, checked; what was assumed, and what nothing said, a line each."""

    text: str
    recipe: LoadedRecipe
    choice: Choice
    assumed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    plan: Plan | None = None


def recipe_name(model: str) -> str:
    """Return a recipe's name made of a model's, without the signs that no name has."""
    last = Path(os.path.abspath(model)).name if os.path.isdir(model) else model.partition("@")[0]
    lower = re.sub(r"[^a-z0-9.-]", "-", last.rpartition("/")[2].lower())
    return lower.strip(".-")[:LONGEST_NAME] or "my-model"


def propose(asked: Asked, store: Store, report: Report) -> Proposed:
    """Return the recipe for a model: validated, and planned where the model's files are here.

    Of a repository only what describes it is fetched. Raises UsageError for what is asked and
    cannot be, PlanError for a model that cannot be built.
    """
    targets = _targets(asked.targets)
    found = find_model(asked.model, store.root / "sources", report)
    require_room(found, store.root)
    if found.is_here:
        _require_near(found.folder, asked)
    read = _read(found, store, report)
    choice = choose(found, read, asked.task)
    writer = _Writer(asked, found, choice, targets)
    proposed = writer.proposed()
    if found.is_here:
        builds = [resolve(proposed.recipe, target) for target in targets]
        requests = [Request(build, proposed.recipe.path.parent) for build in builds]
        proposed.plan = plan_builds(requests, store, smoke=False, report=report)
    return proposed


def _read(found: Found, store: Store, report: Report) -> dict[str, Any]:
    """Return what transformers says of a model's folder: see `reading.described`."""
    graph = GraphBuilder()
    source = graph.leaf(str(found.folder), store.digest_tree(found.folder).digest)
    node = graph.add(ReadModel(), {"source": source}, f"{found.name}/read")
    made = run_once(graph.build(), node, store, lambda: report("reading what the model is"))
    read: dict[str, Any] = json.loads((made / READ).read_text("utf-8"))
    return read


def _targets(named: Sequence[str]) -> tuple[str, ...]:
    known = target_names()
    for name in named:
        if name not in known:
            raise UsageError(
                f"unknown target '{name}'",
                where="--target",
                hint=did_you_mean(name, known, f"use one of {listed(known)}"),
            )
    return tuple(dict.fromkeys(named)) or (DEFAULT_TARGET,)


def _require_near(folder: Path, asked: Asked) -> None:
    """Raise UsageError where a recipe at that place may not name the folder."""
    path = Path(os.path.abspath(asked.recipe))
    text = Path(os.path.relpath(folder, path.parent)).as_posix()
    repository = repository_of(path)
    _, problem = locate(text, path, repository, asked.model_roots)
    if problem:
        raise UsageError(
            "the recipe may not name the model's folder from there",
            where=str(path),
            why=f"{text} {problem}, which is {repository}: whoever clones it must have the model",
            hint="put the recipe beside the model with -o FILE, or the model into the repository, "
            "or give --model-root FOLDER here and to every build",
        )


@dataclass
class _Writer:
    """Writes one recipe, and what is to be said of it."""

    asked: Asked
    found: Found
    choice: Choice
    targets: tuple[str, ...]
    draft: Draft = field(default_factory=Draft)
    assumed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def proposed(self) -> Proposed:
        self._head()
        self._model()
        self._verify()
        for target in self.targets:
            self._target(target)
        self._settle()
        head = [
            f"{self.choice.architecture}, for {self.choice.task}: written by olive-build new.",
            "docs/recipes.md has every field with its effect.",
            "",
        ]
        unknown = [wrap(line, COMMENT_COLUMNS) for line in self.unknown]
        end = [f"  {line}" for lines in unknown for line in lines]
        end = ["Not known:", *end] if end else []
        text, _ = self.draft.text(head, end)
        recipe = self._checked(text)
        return Proposed(text, recipe, self.choice, self.assumed, self.unknown)

    def _checked(self, text: str) -> LoadedRecipe:
        return check_text(text, self.asked.recipe, model_roots=self.asked.model_roots)

    def _head(self) -> None:
        self.draft.say(("recipe",), VERSION)
        self.draft.say(("name",), self.asked.recipe.stem)
        described = f"{self.choice.architecture} for {self.choice.task}"
        self.draft.say(("description",), described, remark="say what it is good for")

    def _model(self) -> None:
        say, found, choice = self.draft.say, self.found, self.choice
        why = "--task" if self.asked.task else f"a {choice.architecture} is for {choice.task}"
        if choice.others:
            why += f"; it could serve {', '.join(choice.others)} too"
        say(("model", "family"), choice.family.name, remark=why)
        self.assumed.append(f"task {choice.task}: {why}")
        spdx, remark = self._licence()
        say(("model", "licence"), spdx, remark=remark)
        if found.is_here:
            beside = os.path.relpath(found.folder, Path(os.path.abspath(self.asked.recipe)).parent)
            say(("model", "source"), "path")
            say(("model", "sources", "path", "folder"), Path(beside).as_posix())
            return
        say(("model", "source"), "hub")
        at: KeyPath = ("model", "sources", "hub")
        say((*at, "repo"), found.repo)
        say((*at, "revision"), found.commit, remark="the commit that the hub named")
        if found.pickle:
            remark = "it has no safetensors: tensors alone are read of it"
            say((*at, "weights"), found.pickle, remark=remark)

    def _licence(self) -> tuple[str, str]:
        card = self.found.licence
        if self.asked.licence:
            return self.asked.licence, ""
        if card.lower() in SPDX:
            self.assumed.append(f"licence {SPDX[card.lower()]}: the model's card says {card}")
            return SPDX[card.lower()], f"the model's card says {card}"
        said = f"the model's card says '{card}'" if card else "nothing in the folder says it"
        self.unknown.append(f"the licence: {said}; write its SPDX name, or give --licence")
        return UNKNOWN, f"{said}: write its SPDX name"

    def _verify(self) -> None:
        family, given = self.choice.family, {"data": self.asked.data}
        given["calibration"] = self.asked.calibration
        for name, built_in in (("data", family.data), ("calibration", family.calibration)):
            own, at = given[name], ("verify", name)
            if own is not None:
                beside = os.path.relpath(own, Path(os.path.abspath(self.asked.recipe)).parent)
                self.draft.say((*at, "file"), Path(beside).as_posix())
            elif built_in:
                use = "every file is proved on" if name == "data" else "quantizers may look at"
                self.draft.say(at, built_in[0], remark=f"built in: what {use}")
            else:
                raise self._no_data(name)
        samples = f"{family.samples} of {self.asked.data}"
        if self.asked.data is None:
            samples = f"built-in {family.samples} (--data takes yours)"
        if family.metrics[0] in OF_AGREEMENT:
            self.unknown.append(
                "how right the model is: files are judged by agreement with the model in its own "
                f"library, on {samples}, and not by accuracy"
            )
        elif self.asked.data is None:
            self.unknown.append(f"how good it is on yours: {family.metrics[0]} is of {samples}")

    def _no_data(self, name: str) -> UsageError:
        family = self.choice.family
        return UsageError(
            f"{family.name} has no built-in {family.samples}, and --{name} is not given",
            where=f"--{name}",
            why=f"what fits depends on the model: {family.data_suffix} with {family.samples}",
            hint="give --data FILE and --calibration FILE, two files with other samples; "
            "docs/recipes.md says under verify.data what they hold",
        )

    def _target(self, name: str) -> None:
        target, family = load_target(name), self.choice.family
        provider = load_provider(target.default_provider)
        if provider.shapes == "fixed":
            for axis, size in family.axes:
                self.draft.say(("targets", name, "export", "shapes", axis), size)
            self.assumed.append(f"{name}: fixed sizes, since {provider.title} compiles for sizes")
        names = target.default_variants
        if any(BUILT_IN_METHODS.get(item) == "auto" for item in names):
            names = IN_PLACE_OF_SEARCHES
        self.draft.say(("targets", name, "variants"), list(names))

    def _settle(self) -> None:
        """Take out variants that are refused, and have texts prepared outside where they must be.

        Raises UsageError where something else is refused, or nothing is left of a target.
        """
        while True:
            text, _ = self.draft.text()
            try:
                loaded = self._checked(text)
            except RecipeErrors as error:
                if not self._dropped(error, text):
                    raise
                continue
            changed = [self._composed(loaded, target) for target in self.targets]
            if not any(changed):
                return

    def _dropped(self, error: RecipeErrors, text: str) -> bool:
        """Take out the first variant that a diagnostic names; whether there was one."""
        _, places = self.draft.text()
        for item in error.diagnostics:
            place = places[item.line - 1]
            if place[:1] == ("targets",) and place[2:] == ("variants",):
                names = list(self.draft.settings[place].value)
                lost = next((name for name in names if f"'{name}'" in item.message), None)
                if lost and len(names) > 1:
                    names.remove(lost)
                    self.draft.say(place, names)
                    self.assumed.append(f"{place[1]}: no {lost}, since {item.message}")
                    return True
        return False

    def _composed(self, loaded: LoadedRecipe, target: str) -> bool:
        """Ship the bare graph where the model's texts cannot be prepared in it; whether so."""
        build = resolve(loaded, target)
        try:
            self.choice.facts.check(self.found.folder, asked_of(build))
        except PlanError as error:
            if build.compose != "single-file":
                raise
            why = "; ".join(filter(None, (error.what, error.why)))
            self.draft.say(("targets", target, "compose"), "none", remark=why)
            self.assumed.append(f"{target}: the graph without its tokenizer, since {why}")
            return True
        return False
