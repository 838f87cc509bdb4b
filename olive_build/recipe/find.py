"""Which recipes there are. Nothing is parsed, so that listing them costs a few milliseconds."""

from __future__ import annotations

import stat
from pathlib import Path

from olive_build.errors import UsageError

BROKEN = "(broken: run olive-build validate)"
_MOST_BYTES = 1_000_000
_MOST_BASES = 5


def recipe_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the recipes in `folder`, sorted; files that begin with _ are bases."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml") if path.name[0] not in "_."))


def find_recipe(name_or_path: str, folder: Path) -> Path:
    """Return the file of a recipe, given by its name in `folder` or by a path.

    Raises UsageError when there is none, with near names.
    """
    is_path = "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith(".yaml")
    path = Path(name_or_path)
    names = recipe_names(folder)
    if is_path and path.is_file():
        return path
    if not is_path and name_or_path in names:
        return folder / f"{name_or_path}.yaml"
    from olive_build.recipe.suggest import did_you_mean, listed

    hint = did_you_mean(path.stem, names, f"the recipes in {folder} are {listed(names)}")
    kind = "recipe file" if is_path else "recipe"
    raise UsageError(
        f"there is no {kind} '{name_or_path}'",
        why=None if is_path else f"{folder}/ holds no {name_or_path}.yaml",
        hint=hint,
    )


def describe(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return each recipe's name and description; one that cannot be read says that it is broken.

    Finds the line by its beginning only, so a recipe can be listed and still not be valid.
    """
    return tuple((name, _description(folder / f"{name}.yaml")) for name in recipe_names(folder))


def _description(path: Path, bases: int = 0) -> str:
    try:
        status = path.stat()
        if status.st_size > _MOST_BYTES or not stat.S_ISREG(status.st_mode):
            return BROKEN
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return BROKEN
    lines = text.split("\n")
    found, extends = _value(lines, "description"), _value(lines, "extends")
    if "#" in extends:
        extends = ""
    if found and (extends or bases or any(line.startswith("recipe:") for line in lines)):
        return _unquoted(found)
    if extends and bases < _MOST_BASES:
        return _description(path.parent / extends.strip("'\""), bases + 1)
    return BROKEN


def _value(lines: list[str], key: str) -> str:
    """Return what stands on the line behind the first such key that has something, else ''.

    Not by a regular expression: blanks between two patterns that both take blanks cost their cube.
    """
    begins = (f"{key}: ", f"{key}:\t")
    values = (line[len(key) + 1 :].strip() for line in lines if line.startswith(begins))
    return next(filter(None, values), "")


def _unquoted(text: str) -> str:
    """Return what a scalar on one line says; it is shown, so no control character is left."""
    if text[0] in "'\"" and text.rfind(text[0]) > 0:
        inner = text[1 : text.rfind(text[0])]
        text = inner.replace("''", "'") if text[0] == "'" else _unescaped(inner)
    elif text[0] in "|>&*!":
        return BROKEN
    else:
        text = text.partition(" #")[0].rstrip()
    return "".join(character for character in text if character.isprintable())


def _unescaped(inner: str) -> str:
    import json

    try:
        return str(json.loads(f'"{inner}"'))
    except ValueError:
        return inner
