"""`quantize: auto` is `quantize: {method: auto}`: the one word that stands for a map."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.recipe.tree import Node, replaced

WORD = "auto"


def with_words_written_out(tree: Node) -> Node:
    """Return the tree with a map in the place of each word that stands for one."""
    for path in _quantize_paths(tree):
        node = tree.find(path)
        if node is not None and node.value == WORD:
            span = tree.key_span(path)
            method = Node(WORD, node.span)
            map_ = Node({"method": method}, node.span, {"method": node.span})
            tree = replaced(tree, path, span, map_)
    return tree


def _quantize_paths(tree: Node) -> Iterator[tuple[str, ...]]:
    yield ("quantize",)
    for section in ("variants", "targets"):
        node = tree.child(section)
        for name in node.value if node is not None and isinstance(node.value, dict) else ():
            yield (section, name, "quantize")
