"""Words of the language that this version refuses, since nothing builds them yet."""

from __future__ import annotations

from olive_build.recipe.codes import Code
from olive_build.recipe.diagnostics import Report
from olive_build.recipe.model import NOT_BUILT_YET
from olive_build.recipe.tree import Node, without


def without_not_built(tree: Node, report: Report) -> Node:
    """Return the tree without those words, each of them reported."""
    for word in NOT_BUILT_YET:
        if tree.find((word,)) is not None:
            report.add(
                Code.NOT_BUILT_YET,
                f"'{word}' is not built yet in this version",
                tree.key_span((word,)),
                hint="remove it",
                notes=("it is a word of the recipe language, kept for a later version",),
            )
            tree = without(tree, (word,))
    return tree
