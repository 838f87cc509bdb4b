"""What libyaml says, in plain English."""

from __future__ import annotations

from typing import Any

from olive_build.recipe.codes import Code
from olive_build.recipe.report import Report
from olive_build.recipe.tree import Source, Span

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
