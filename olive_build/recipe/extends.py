"""One tree from a recipe's file, the bases that it extends, and `--set` arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from olive_build.recipe.context import locate, repository_of
from olive_build.recipe.diagnostics import Code, Report
from olive_build.recipe.source import Unparseable, check_printable, read_source, read_tree
from olive_build.recipe.tree import Span, YamlNode, merged, replaced, source_of, without

MOST_BASES = 5
_FIRST_OVERRIDE = 1000  # sorts the diagnostics of --set after those of files


def read_recipe_tree(path: Path, overrides: Sequence[str], report: Report) -> YamlNode:
    """Return the recipe with its bases below it and the overrides on top.

    Raises Unparseable when there is nothing to go on with; the report says why.
    """
    tree = _with_bases(path, repository_of(path), (), report)
    for number, override in enumerate(overrides):
        tree = _with_override(tree, override, _FIRST_OVERRIDE + number, report)
    return tree


def _with_bases(path: Path, repository: Path, above: tuple[Path, ...], report: Report) -> YamlNode:
    source = read_source(path, report, order=len(above))
    tree = read_tree(source, report)
    start = Span(source, 1, 1)
    if tree is None or tree.plain() is None:
        hint = "a recipe begins with `recipe: 1`"
        shipped = "recipes/all-minilm-l6-v2.yaml is one to copy from"
        report.add(Code.EMPTY, "the file holds no recipe", start, hint=hint, notes=(shipped,))
        raise Unparseable
    if not isinstance(tree.value, dict):
        what = "a list" if isinstance(tree.value, list) else "a single value"
        hint = "begin with `recipe: 1`, without a dash"
        report.add(
            Code.WRONG_TYPE, f"a recipe is a map of fields, not {what}", tree.span, hint=hint
        )
        raise Unparseable
    extends = tree.child("extends")
    if extends is None or not isinstance(extends.value, str):
        return tree
    base = _base_path(extends.value, extends.span, path, repository, (*above, path), report)
    below = _with_bases(base, repository, (*above, path), report)
    return merged(without(below, ("extends",)), tree)


def _base_path(
    text: str, span: Span, path: Path, repository: Path, above: tuple[Path, ...], report: Report
) -> Path:
    found, problem = locate(text, path, repository)
    chain = [file.name for file in (*above, found or path)]
    hint, notes = "name a .yaml file of this repository, relative to this one", list[str]()
    if problem:
        report.add(Code.BAD_PATH, f"`extends` {problem}", span, hint=hint)
        raise Unparseable
    assert found is not None
    if not found.is_file():
        problem = f"`extends` names '{text}', which is no file"
    elif found in above:
        problem, hint = "`extends` goes in a circle", "remove one of them"
        notes = ["each would have to be read before itself: " + " -> ".join(chain)]
    elif len(above) > MOST_BASES:
        problem, hint = f"`extends` goes on for more than {MOST_BASES} files", "merge some of them"
        notes = [" -> ".join(chain)]
    if problem:
        report.add(Code.BAD_EXTENDS, problem, span, hint=hint, notes=notes)
        raise Unparseable
    return found


def _with_override(tree: YamlNode, override: str, order: int, report: Report) -> YamlNode:
    label = f"--set {override}"
    source = source_of(label, label, None, order)
    start = len("--set ") + 1
    key, equals, value = override.partition("=")
    keys = key.split(".")
    hint = "write --set key=value, such as --set export.opset=18"
    if not equals or not all(name.strip() == name and name for name in keys):
        message = f"'{override}' is no `key=value`"
        report.add(Code.BAD_OVERRIDE, message, Span(source, 1, start), hint=hint)
        return tree
    key_span = Span(source, 1, start, max(1, len(key)))
    try:
        check_printable(source, report)
        node = read_tree(source, report, " " * (start + len(key)) + value)
    except Unparseable:
        return tree
    if node is None:
        message = f"no value is given for '{key}'"
        report.add(Code.BAD_OVERRIDE, message, key_span, hint=hint)
        return tree
    if keys == ["extends"]:
        message = "`extends` cannot be set on the command line: the bases are read before"
        hint = "write it in the recipe's file, or in another recipe"
        report.add(Code.BAD_OVERRIDE, message, key_span, hint=hint)
        return tree
    inside = _list_on_the_way(tree, keys)
    if inside:
        message = f"'{inside}' is not a map, so nothing can be set inside it"
        report.add(Code.BAD_OVERRIDE, message, key_span, hint=f"set '{inside}' as a whole")
        return tree
    return replaced(tree, keys, key_span, node)


def _list_on_the_way(tree: YamlNode, keys: Sequence[str]) -> str | None:
    """Return the part of a dotted path that is written and is no map, if there is one."""
    for depth in range(1, len(keys)):
        node = tree.find(keys[:depth])
        if node is not None and node.value is not None and not isinstance(node.value, dict):
            return ".".join(keys[:depth])
    return None
