"""A recipe's file -> LoadedRecipe, or every diagnostic of it in one error."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.recipe.diagnostics import Diagnostic, RecipeErrors, Report
from olive_build.recipe.tree import YamlNode, replaced, source_of

if TYPE_CHECKING:
    from olive_build.recipe.model import Recipe


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe without errors. `positions` is its text as nodes that know where they stand.

    `model_roots` are the folders outside of its repository below which its model may lie.
    """

    recipe: Recipe
    path: Path
    positions: YamlNode
    warnings: tuple[Diagnostic, ...]
    model_roots: tuple[Path, ...] = ()


def load_recipe(
    path: Path, *, overrides: Sequence[str] = (), model_roots: Sequence[Path] = ()
) -> LoadedRecipe:
    """Return the recipe in `path` with `key=value` overrides on top, checked for all its targets.

    Its model lies in the repository, or below one of `model_roots`, which a caller alone gives.
    Raises RecipeErrors with every diagnostic of the file, of the bases that it extends and of the
    overrides.
    """
    from olive_build.recipe.extends import read_recipe_tree
    from olive_build.recipe.source import Unparseable

    path, report = Path(os.path.abspath(path)), Report()
    try:
        tree = read_recipe_tree(path, overrides, report)
    except Unparseable:
        raise RecipeErrors(report.sorted(), str(path)) from None
    recipe = _checked(path, tree, report, model_roots)
    if recipe is None or report.has_errors:
        raise RecipeErrors(report.sorted(), str(path))
    return LoadedRecipe(recipe, path, tree, report.sorted(), tuple(model_roots))


def check_text(text: str, path: Path, *, model_roots: Sequence[Path] = ()) -> LoadedRecipe:
    """Return the recipe in a text, checked as if it lay at `path`. Raises RecipeErrors."""
    from olive_build.recipe.source import Unparseable, check_printable, read_tree

    path, report = Path(os.path.abspath(path)), Report()
    source = source_of(text, str(path), path)
    try:
        check_printable(source, report)
        tree = read_tree(source, report)
    except Unparseable:
        raise RecipeErrors(report.sorted(), str(path)) from None
    assert tree is not None
    recipe = _checked(path, tree, report, model_roots)
    if recipe is None or report.has_errors:
        raise RecipeErrors(report.sorted(), str(path))
    return LoadedRecipe(recipe, path, tree, report.sorted(), tuple(model_roots))


def _checked(
    path: Path, tree: YamlNode, report: Report, model_roots: Sequence[Path]
) -> Recipe | None:
    """Run every check; return the recipe, or what is sound of it."""
    from olive_build.recipe.checks import check_recipe
    from olive_build.recipe.context import Context
    from olive_build.recipe.passes import check_passes
    from olive_build.recipe.resolve import resolve_targets
    from olive_build.recipe.schema_errors import check_schema
    from olive_build.recipe.sections import sections
    from olive_build.recipe.unused import check_unused

    tree = with_words_written_out(tree)
    recipe, dropped = check_schema(tree, report)
    if recipe is None:
        return None
    context = Context(path, tree, recipe, report, dropped, tuple(model_roots))
    for kind in sections():
        context = kind.check(context)
    check_recipe(context)
    check_passes(context)
    builds = resolve_targets(context, tuple(recipe.targets), recipe.model.source)
    check_unused(context, builds)
    return recipe


# `quantize: auto` is `quantize: {method: auto}`: the one word that stands for a map.
WORD = "auto"


def with_words_written_out(tree: YamlNode) -> YamlNode:
    """Return the tree with a map in the place of each word that stands for one."""
    for path in _quantize_paths(tree):
        node = tree.find(path)
        if node is not None and node.value == WORD:
            span = tree.key_span(path)
            method = YamlNode(WORD, node.span)
            map_ = YamlNode({"method": method}, node.span, {"method": node.span})
            tree = replaced(tree, path, span, map_)
    return tree


def _quantize_paths(tree: YamlNode) -> Iterator[tuple[str, ...]]:
    yield ("quantize",)
    for section in ("variants", "targets"):
        node = tree.child(section)
        for name in node.value if node is not None and isinstance(node.value, dict) else ():
            yield (section, name, "quantize")
