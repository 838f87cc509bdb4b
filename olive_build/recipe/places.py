"""Paths that a recipe may name: only inside its own repository."""

from __future__ import annotations

import os
from pathlib import Path

_MARKS_OF_A_REPOSITORY = (".git", "pyproject.toml")


def repository_of(recipe: Path) -> Path:
    """Return the nearest folder above the recipe with .git or pyproject.toml, else its own."""
    folder = recipe.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in _MARKS_OF_A_REPOSITORY):
            return candidate
    return folder


def locate(text: str, file: Path, repository: Path) -> tuple[Path | None, str | None]:
    """Return the path that `text` in `file` names, or None and what is wrong with it."""
    if not text.strip() or "\0" in text:
        return None, "names nothing"
    if os.path.isabs(text) or "\\" in text or text[1:2] == ":" or text.startswith("~"):
        return None, "is not a relative path with forward slashes"
    lexical = Path(os.path.normpath(file.parent / text))
    if not lexical.is_relative_to(repository):
        return None, "leaves the repository"
    if not lexical.resolve().is_relative_to(repository.resolve()):
        return None, "leaves the repository by a symbolic link"
    return lexical, None


def relative_to_recipe(path: Path, recipe: Path) -> str:
    """Return `path` as posix, relative to the folder of the recipe's file."""
    return Path(os.path.relpath(path, recipe.parent)).as_posix()
