"""A YAML document as nodes that know where they were written.

Merging a base, `--set` and the recipe itself happens on nodes, so each value keeps its own file,
line and column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Key: TypeAlias = str | int
KeyPath: TypeAlias = tuple[Key, ...]
Json: TypeAlias = "Scalar | list[Json] | dict[str, Json]"

# libyaml counts these as line ends; so must the excerpt, or its lines would be off.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, eq=False)
class Source:
    """A text that positions refer to: a file, or one `--set` argument (path None)."""

    label: str
    path: Path | None
    lines: tuple[str, ...]
    order: int = 0


def source_of(text: str, label: str, path: Path | None, order: int = 0) -> Source:
    """Return `text` as a source, split into the lines that the YAML parser counts."""
    return Source(label, path, tuple(_LINE_END.split(text)), order)


@dataclass(frozen=True)
class Span:
    """`length` characters from `line` and `column`, both counted from 1."""

    source: Source
    line: int
    column: int
    length: int = 1


@dataclass(eq=False)
class YamlNode:
    """A scalar, list or map. `keys` holds the spans of a map's keys.

    `is_block` marks a list or map that spreads over lines, which no caret can underline; `size`
    and `height` count nodes and levels, itself included.
    """

    value: Scalar | list[YamlNode] | dict[str, YamlNode]
    span: Span
    keys: dict[str, Span] = field(default_factory=dict)
    is_block: bool = False
    size: int = 1
    height: int = 1

    def plain(self) -> Json:
        """Return the values without positions."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, key: Key) -> YamlNode | None:
        """Return what lies under `key`, or None where nothing does."""
        if isinstance(self.value, dict) and isinstance(key, str):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and key < len(self.value):
            return self.value[key]
        return None

    def find(self, path: Sequence[Key]) -> YamlNode | None:
        """Return the node at `path`, or None if nothing is written there."""
        node: YamlNode | None = self
        for key in path:
            node = node.child(key) if node else None
        return node

    def key_span(self, path: Sequence[Key]) -> Span:
        """Return where the last key of `path` is written, or the nearest thing that is written."""
        node, span = self, self.span
        for key in path:
            child = node.child(key)
            if child is None:
                break
            span = node.keys.get(str(key), child.span)
            node = child
        return span

    def value_span(self, path: Sequence[Key]) -> Span:
        """Return where the value at `path` is written; its key where the value spreads on lines."""
        node = self.find(path)
        if node is None or (node.is_block and path) or node.span.length == 0:
            return self.key_span(path)
        return node.span


def merged(base: YamlNode, over: YamlNode) -> YamlNode:
    """Return `base` with `over` laid on it: maps merge key by key, lists and scalars replace."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    value = dict(base.value)
    for key, node in over.value.items():
        value[key] = merged(value[key], node) if key in value else node
    return YamlNode(value, over.span, base.keys | over.keys, is_block=True)


def replaced(root: YamlNode, path: Sequence[str], key_span: Span, node: YamlNode) -> YamlNode:
    """Return `root` with `node` at `path` in place of what is there, making maps on the way."""
    if not path:
        return node
    value = dict(root.value) if isinstance(root.value, dict) else {}
    head, *rest = path
    below = value.get(head) or YamlNode({}, key_span, is_block=True)
    value[head] = replaced(below, rest, key_span, node)
    keys = root.keys if head in root.keys and rest else root.keys | {head: key_span}
    return YamlNode(value, root.span, keys, is_block=True)


def without(root: YamlNode, path: Sequence[Key]) -> YamlNode:
    """Return `root` without what lies at `path`; unchanged where nothing does."""
    head, *rest = path
    child = root.child(head)
    if child is None:
        return root
    if isinstance(root.value, dict):
        value = {key: node for key, node in root.value.items() if key != head or rest}
        if rest:
            value[str(head)] = without(child, rest)
        return YamlNode(value, root.span, root.keys, root.is_block)
    assert isinstance(root.value, list) and isinstance(head, int)
    items = [*root.value[:head], *([without(child, rest)] if rest else []), *root.value[head + 1 :]]
    return YamlNode(items, root.span, root.keys, root.is_block)


Scalar = str | int | float | bool | None

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NOT_A_NUMBER = frozenset((".nan", ".NaN", ".NAN"))
# Python refuses to convert more than 4,300 digits; nothing here is near this many.
_MOST_DIGITS = 400


def resolve_plain(text: str) -> Scalar:
    """Return what an unquoted scalar means: null, a boolean, a number, or the text itself."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in "-+.0123456789" or len(text) > _MOST_DIGITS:
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return float("nan") if text in _NOT_A_NUMBER else text
