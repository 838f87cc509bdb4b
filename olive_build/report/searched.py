"""`build --write-recipe`: the recipe's own text, with what its searches chose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from olive_build.engine.store import Store
from olive_build.engine.trees import replace_file
from olive_build.errors import UsageError
from olive_build.methods import Method
from olive_build.methods.auto import Auto
from olive_build.plan.types import Request
from olive_build.prepare import plan_builds
from olive_build.recipe.find import find_recipe
from olive_build.recipe.load import load_recipe
from olive_build.select import Selection


def check_can_write(selected: Selection, until: str, requests: Sequence[Request]) -> None:
    """Raise UsageError, before anything is built, when there would be nothing to write."""
    if len(selected.recipe) != 1 or selected.smoke or until != "bundle":
        raise UsageError(
            "--write-recipe is for a whole build of one recipe",
            hint="name one recipe, without --smoke and --until",
        )
    if not _searched(requests):
        raise UsageError(
            "the recipe leaves nothing to a search",
            where=selected.recipe[0],
            why="no variant of the targets that are built says `quantize: auto`",
            hint="write it, or try it with --set variants.NAME.quantize=auto",
        )


def write_searched(
    selected: Selection, requests: Sequence[Request], store: Store, path: Path
) -> None:
    """Write the recipe to `path`, whole or not at all, with each searched method written out."""
    from olive_build.search.recipe_writer import plain_recipe

    plan = plan_builds(requests, store, smoke=False, report=lambda _: None)
    searched = _searched(requests)
    methods: dict[str, Method] = {
        variant.name: variant.quantize
        for bundle in plan.bundles
        for variant in bundle.build.variants
        if variant.name in searched and variant.quantize is not None
    }
    # Without the overrides of the command line, whose places are in no file.
    loaded = load_recipe(
        find_recipe(selected.recipe[0], selected.recipes), model_roots=selected.model_roots
    )
    replace_file(path, plain_recipe(loaded, methods).encode())


def _searched(requests: Sequence[Request]) -> set[str]:
    return {
        variant.name
        for request in requests
        for variant in request.build.variants
        if isinstance(variant.quantize, Auto)
    }
