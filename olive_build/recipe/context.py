"""What the checks of one recipe share, and those of one of its targets while it is resolved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.families.registry import Family
from olive_build.recipe.diagnostics import Code, Report
from olive_build.recipe.suggest import did_you_mean, listed
from olive_build.recipe.tree import KeyPath, YamlNode
from olive_build.targets import Provider, Target
from olive_build.untrusted import followed

if TYPE_CHECKING:
    from olive_build.recipe.model import Recipe, TargetSpec
    from olive_build.recipe.sections import Owner

_MARKS_OF_A_REPOSITORY = (".git", "pyproject.toml")


@dataclass(frozen=True)
class Context:
    """`dropped` are the paths that the schema refused; nothing more is said about those.

    `model_roots` are folders outside of the repository below which models may lie: the caller says
    so, never a recipe.
    """

    path: Path
    tree: YamlNode
    recipe: Recipe
    report: Report
    dropped: frozenset[KeyPath] = frozenset()
    model_roots: tuple[Path, ...] = ()

    def add(
        self,
        code: Code,
        path: KeyPath,
        message: str,
        *,
        hint: str,
        notes: Sequence[str] = (),
        key: bool = False,
        also: tuple[KeyPath, str] | None = None,
    ) -> None:
        """Report something about the value at `path`, or about its key."""
        if any(path[: len(gone)] == gone for gone in self.dropped):
            return
        span = self.tree.key_span(path) if key else self.tree.value_span(path)
        second = (self.tree.key_span(also[0]), also[1]) if also else None
        self.report.add(code, message, span, hint=hint, notes=notes, also=second)

    def known(self, kind: str, name: str, names: Sequence[str], path: KeyPath, key: bool) -> bool:
        """Return whether `name` is one of `names`; report it where it is not."""
        if name in names:
            return True
        self.add(
            Code.UNKNOWN_NAME,
            path,
            f"unknown {kind} '{name}'",
            hint=did_you_mean(name, names, f"use one of {listed(names)}"),
            notes=(f"known here: {listed(names)}",),
            key=key,
        )
        return False

    def written(self, path: KeyPath) -> bool:
        """Return whether the recipe itself gives something at `path`."""
        return self.tree.find(path) is not None

    def given(self, path: KeyPath) -> bool:
        """Return whether the recipe itself gives something but null at `path`."""
        node = self.tree.find(path)
        return node is not None and node.value is not None

    def file(self, text: str, path: KeyPath) -> Path | None:
        """Return the file or folder that the value at `path` names; report one outside."""
        return self._located(text, path, (), "")

    def model_folder(self, text: str, path: KeyPath) -> Path | None:
        """Return the folder of a model or adapter, which may lie below one of `model_roots`."""
        more = "; a model elsewhere needs --model-root with a folder above it"
        return self._located(text, path, self.model_roots, more)

    def _located(self, text: str, path: KeyPath, roots: Sequence[Path], more: str) -> Path | None:
        node = self.tree.find(path)
        writer = node.span.source.path if node is not None else None
        found, problem = locate(text, writer or self.path, repository_of(self.path), roots)
        if problem:
            self.add(
                Code.BAD_PATH,
                path,
                f"the path '{text}' {problem}",
                hint=f"give a path inside the repository, relative to this file{more}",
                notes=("a recipe must build the same for whoever clones its repository",),
            )
        return found

    def relative(self, path: Path) -> str:
        """Return a path as builds hold it: posix, relative to the recipe's folder."""
        return relative_to_recipe(path, self.path)


def repository_of(recipe: Path) -> Path:
    """Return the nearest folder above the recipe with .git or pyproject.toml, else its own."""
    folder = recipe.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in _MARKS_OF_A_REPOSITORY):
            return candidate
    return folder


def locate(
    text: str, file: Path, repository: Path, roots: Sequence[Path] = ()
) -> tuple[Path | None, str | None]:
    """Return the path that `text` in `file` names, or None and what is wrong with it.

    It must lie in the repository, or below one of `roots`, with which it may be absolute.
    """
    if not text.strip() or "\0" in text:
        return None, "names nothing"
    is_absolute = os.path.isabs(text) and not roots
    if is_absolute or "\\" in text or text[1:2] == ":" or text.startswith("~"):
        return None, "is not a relative path with forward slashes"
    lexical = Path(os.path.normpath(file.parent / text))
    places = [at for root in roots for at in (Path(os.path.abspath(root)), followed(root))]
    if not any(lexical.is_relative_to(place) for place in (repository, *places)):
        return None, "leaves the repository" + " and is below no --model-root" * bool(roots)
    if not any(followed(lexical).is_relative_to(followed(at)) for at in (repository, *places)):
        return None, "leaves the repository by a symbolic link"
    return lexical, None


def relative_to_recipe(path: Path, recipe: Path) -> str:
    """Return `path` as posix, relative to the folder of the recipe's file."""
    return Path(os.path.relpath(path, recipe.parent)).as_posix()


@dataclass(frozen=True)
class Place:
    """What a target's settings are made of: the recipe's, its own, and the platform's facts.

    `owner` is the section that decides what is built, in place of variants for inference.
    """

    context: Context
    spec: TargetSpec
    target: Target
    provider: Provider
    family: Family
    owner: type[Owner] | None = None

    def where(self, *field: str) -> KeyPath:
        """Return where a setting is written: under the target or the recipe; else the target."""
        own: KeyPath = ("targets", self.target.name, *field)
        if self.context.written(own):
            return own
        return field if self.context.written(field) else own[:2]

    def said(self, *field: str, component: str = "") -> tuple[Any, KeyPath]:
        """Return a setting and where it is written: the target's, else the recipe's; None if none.

        Of a `component`, only what is said of it alone.
        """
        path = ("components", component, *field) if component else field
        recipe, own = self.context.recipe, ("targets", self.target.name)
        layers: tuple[tuple[Any, KeyPath], ...] = ((self.spec, own), (recipe, ()))
        for value, where in layers:
            for key in path:
                value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
            if value is not None:
                return value, (*where, *path)
        return None, self.where(*path)

    def add(
        self, code: Code, path: KeyPath, message: str, *, hint: str, notes: Sequence[str] = ()
    ) -> None:
        """Report something about this target."""
        at_name = path == ("targets", self.target.name)
        self.context.add(code, path, message, hint=hint, notes=notes, key=at_name)
