"""Bytes to a tree of nodes with positions, within limits that no text can get round.

The parser's events are walked one by one and nothing here recurses, so that 100,000 levels of
nesting, which crash libyaml's composer, are refused like any other mistake.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.recipe.diagnostics import Code, Report
from olive_build.recipe.tree import Source, Span, YamlNode, resolve_plain, source_of

MOST_BYTES = 1_000_000
MOST_DEPTH = 32
MOST_NODES = 20_000
MOST_ALIASES = 32

_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A key that was reported: no text of YAML holds this character.
_REFUSED = "\0"
_PLAIN = (None, "")  # libyaml says "", PyYAML's own parser None

# What libyaml's problem text contains -> what it means, what to do.
_MEANINGS = (
    (
        "mapping values are not allowed",
        "a ':' stands where no key can be",
        "indent it under its section, or put text that contains ': ' in quotes",
    ),
    (
        "did not find expected ',' or",
        "a '[' or '{' is not closed",
        "close it, and put a comma between entries",
    ),
    ("unexpected end of stream", "a quote is not closed", "close the quote"),
    (
        "could not find expected ':'",
        "a key has no ':' after it",
        "write `key: value`",
    ),
    (
        "did not find expected key",
        "the indentation does not fit the lines above",
        "indent entries of one map equally, and quote text that begins with a sign",
    ),
    (
        "did not find expected '-'",
        "the indentation does not fit the list above",
        "indent all entries of a list equally",
    ),
    (
        "block sequence entries are not allowed",
        "a list begins where no list can be",
        "put the list on lines of its own below its key",
    ),
    (
        "unknown escape character",
        "an escape in double quotes is not known",
        "use single quotes, or write the backslash twice",
    ),
    (
        "cannot start any token",
        "text begins with a sign that YAML keeps for itself",
        "put the text in quotes",
    ),
)


class Unparseable(Exception):
    """Nothing can be read on; the report says why."""


@dataclass
class _Open:
    """A list or map that is still being read."""

    node: YamlNode
    anchor: str | None
    key: tuple[str, Span] | None = None


def read_source(path: Path, report: Report, order: int = 0) -> Source:
    """Return the text of `path`. Raises Unparseable when it is not text of a sensible size."""
    place = Span(Source(str(path), path, (), order), 1, 1)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            _stop(report, place, f"'{path.name}' is no file", "give the path of a .yaml file")
        if status.st_size > MOST_BYTES:
            size = f"{status.st_size / 1e6:.1f} MB"
            why = f"a recipe has at most {MOST_BYTES // 10**6} MB; it was not read"
            _stop(report, place, f"the file has {size}", "is this a recipe at all?", why)
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        _stop(report, place, f"cannot read '{path.name}'", f"{reason}: check the path", code=None)
    return _decoded(data, place, report)


def _decoded(data: bytes, place: Span, report: Report) -> Source:
    empty = place.source
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        _stop(report, place, "the file is UTF-16", "save it as UTF-8")
    if b"\0" in data:
        _stop(report, place, "the file is binary", "a recipe is a text file in UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = source_of(data[: error.start].decode("utf-8-sig"), empty.label, empty.path)
        shown = data.decode("utf-8", errors="backslashreplace").removeprefix("\ufeff")
        whole = source_of(shown, empty.label, empty.path, empty.order)
        bad = Span(whole, len(before.lines), len(before.lines[-1]) + 1, len("\\xff"))
        byte = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        _stop(report, bad, "the file is not UTF-8", "save the file as UTF-8", byte)
    source = source_of(text, empty.label, empty.path, empty.order)
    check_printable(source, report)
    return source


def check_printable(source: Source, report: Report) -> None:
    """Raise Unparseable where the text holds a character that YAML does not allow."""
    for number, line in enumerate(source.lines, 1):
        if found := _NOT_PRINTABLE.search(line):
            bad = Span(source, number, found.start() + 1)
            name = f"U+{ord(found[0]):04X}"
            why = "YAML allows no control characters but tab and line ends"
            _stop(report, bad, f"the control character {name} is in the text", "remove it", why)


def read_tree(source: Source, report: Report, text: str | None = None) -> YamlNode | None:
    """Return the document as nodes, or None for an empty one (which is not reported here).

    `text` is what is parsed in place of the source's own, with the same columns. Repeated keys,
    tags and merge keys are reported and read past. Raises Unparseable where the text is not YAML
    or goes over a limit.
    """
    import yaml

    builder = _Builder(source, report)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text or "\n".join(source.lines), Loader=loader):
            builder.take(event)
    except yaml.YAMLError as error:
        report_syntax_error(error, source, report)
        raise Unparseable from error
    return builder.root


class _Builder:
    """Builds nodes from events, with a stack of its own instead of recursion."""

    def __init__(self, source: Source, report: Report) -> None:
        self.root: YamlNode | None = None
        self._source = source
        self._report = report
        self._open: list[_Open] = []
        self._anchors: dict[str, YamlNode | None] = {}
        self._aliases = 0
        self._nodes = 0

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._scalar(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._start(event, {} if kind.startswith("M") else [])
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._end(event)
        elif kind == "AliasEvent":
            self._alias(event)
        elif kind == "DocumentStartEvent" and self.root is not None:
            why = "one file is one recipe; only the first would be read"
            self._refuse(event, "a second YAML document begins here", "remove the `---`", why)

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        rest = len(self._source.lines[start.line]) - start.column
        length = end.column - start.column if end.line == start.line else rest
        return Span(self._source, start.line + 1, start.column + 1, max(1, length))

    def _refuse(self, event: Any, message: str, hint: str, why: str) -> None:
        _stop(self._report, self._span(event), message, hint, why, code=Code.REFUSED_YAML)

    def _scalar(self, event: Any) -> None:
        self._check_tag(event)
        text = str(event.value)
        node = YamlNode(resolve_plain(text) if event.style in _PLAIN else text, self._span(event))
        if event.anchor:
            self._anchors[event.anchor] = node
        self._place(node, event, text)

    def _start(self, event: Any, value: Any) -> None:
        self._check_tag(event)
        if len(self._open) >= MOST_DEPTH:
            why = f"a recipe is nested at most {MOST_DEPTH} levels deep"
            self._refuse(event, "the nesting is too deep", "is this a recipe at all?", why)
        node = YamlNode(value, self._span(event), is_block=not event.flow_style)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(node, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        start = done.node.span
        if not done.node.is_block and event.end_mark.line == start.line - 1:
            length = event.end_mark.column - start.column + 1
            done.node.span = Span(self._source, start.line, start.column, length)
        if done.anchor:
            self._anchors[done.anchor] = done.node
        self._place(done.node, event, None)

    def _alias(self, event: Any) -> None:
        self._aliases += 1
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = event.anchor in self._anchors
            why = "it stands inside its own anchor" if inside else "there is no such anchor above"
            hint = "write the value out"
            self._refuse(event, f"the alias '*{event.anchor}' leads nowhere", hint, why)
            return
        if self._aliases > MOST_ALIASES:
            why = f"a recipe has at most {MOST_ALIASES}"
            self._refuse(event, "there are too many aliases", "write the values out", why)
        if len(self._open) + node.height > MOST_DEPTH + 1:
            why = f"a recipe is nested at most {MOST_DEPTH} levels deep"
            self._refuse(event, "the alias makes the nesting too deep", "write it out", why)
        self._place(node, event, node.value if isinstance(node.value, str) else None)

    def _place(self, node: YamlNode, event: Any, text: str | None) -> None:
        self._nodes += 1 if node.size == 1 else 0
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        top.node.size += node.size
        top.node.height = max(top.node.height, node.height + 1)
        if sum(level.node.size for level in self._open) > MOST_NODES:
            why = f"aliases count as often as they are used; a recipe has at most {MOST_NODES:,}"
            self._refuse(event, "there are too many values", "is this a recipe at all?", why)
        if isinstance(top.node.value, list):
            top.node.value.append(node)
        elif top.key is None:
            top.key = self._key(node, event, text)
        else:
            self._entry(top, node)
            top.key = None

    def _key(self, node: YamlNode, event: Any, text: str | None) -> tuple[str, Span]:
        span = node.span
        if text == "<<" and event.style in _PLAIN:
            self._report.add(
                Code.REFUSED_YAML,
                "the merge key '<<' is not used in recipes",
                span,
                hint="put what is shared into a file and name it by `extends:`",
                notes=("YAML 1.2 has no merge keys",),
            )
            return (_REFUSED, span)
        if text is None or not (isinstance(node.value, str) or _is_count(text)):
            self._report.add(
                Code.REFUSED_YAML,
                "a key must be text",
                span,
                hint="put it in quotes" if text is not None else "a list or map cannot be a key",
            )
        return (text if text is not None else "?", span)

    def _entry(self, top: _Open, node: YamlNode) -> None:
        assert top.key is not None and isinstance(top.node.value, dict)
        key, span = top.key
        if key == _REFUSED:
            return
        if key in top.node.value:
            first = (top.node.keys[key], "first written here")
            hint = "written again here; keep one of the two"
            self._report.add(
                Code.DUPLICATE_KEY, f"the key '{key}' is written twice", span, hint=hint, also=first
            )
            return
        top.node.value[key] = node
        top.node.keys[key] = span

    def _check_tag(self, event: Any) -> None:
        if event.tag not in (None, "!"):
            shown = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._report.add(
                Code.REFUSED_YAML,
                f"the tag '{shown}' is not used in recipes",
                self._span(event),
                hint="remove the tag",
                notes=("a recipe is plain data: nothing in it may run code",),
            )


def _stop(
    report: Report,
    span: Span,
    message: str,
    hint: str,
    why: str | None = None,
    code: Code | None = None,
) -> None:
    report.add(code or Code.UNREADABLE, message, span, hint=hint, notes=(why,) if why else ())
    raise Unparseable


def _is_count(text: str) -> bool:
    # Written in one way only, so it means the same text whatever reads it: `speedup: {16: 6.5}`.
    return text.isascii() and text.isdigit() and not text.startswith("0")


def report_syntax_error(error: Any, source: Source, report: Report) -> None:
    """Report what the YAML parser stopped at."""
    problem = str(getattr(error, "problem", None) or error)
    mark = getattr(error, "problem_mark", None)
    begin = getattr(error, "context_mark", None)
    if begin and "end of stream" in problem:
        mark = begin  # where the quote begins says more than where the file ends
    span = _span(mark, source)
    line, text = span.line, source.lines[span.line - 1]
    indentation = text[: len(text) - len(text.lstrip())]
    if "\t" in indentation:
        report.add(
            Code.SYNTAX,
            "a tab is used for indentation",
            Span(source, line, indentation.index("\t") + 1),
            hint="use spaces",
            notes=("YAML allows only spaces there, since tabs have no fixed width",),
        )
        return
    in_flow = begin and "flow" in str(getattr(error, "context", ""))
    also = (_span(begin, source), "it is opened here") if in_flow else None
    for known, meaning, hint in _MEANINGS:
        if known in problem:
            notes = (f"YAML: {problem}",)
            report.add(Code.SYNTAX, meaning, span, hint=hint, notes=notes, also=also)
            return
    report.add(Code.SYNTAX, "this is not YAML", span, hint="see the note", notes=(problem,))


def _span(mark: Any, source: Source) -> Span:
    """Return a place that libyaml names; it puts the end of a text on a line of its own."""
    if mark is None:
        return Span(source, 1, 1)
    if mark.line >= len(source.lines):
        return Span(source, len(source.lines), len(source.lines[-1]) + 1)
    return Span(source, mark.line + 1, min(mark.column, len(source.lines[mark.line])) + 1)
