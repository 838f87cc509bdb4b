"""Collects what is wrong in a recipe, so that one run reports everything."""

from __future__ import annotations

from collections.abc import Sequence

from olive_build.recipe.codes import Code
from olive_build.recipe.diagnostics import Diagnostic, Label, shown_path
from olive_build.recipe.tree import Span


class Report:
    """The diagnostics of one recipe so far."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, int, int, int], Diagnostic] = {}

    def add(
        self,
        code: Code,
        message: str,
        span: Span,
        *,
        hint: str,
        notes: Sequence[str] = (),
        also: tuple[Span, str] | None = None,
    ) -> None:
        """Keep a diagnostic; one that is the same in place and message is kept once."""
        source = span.source
        second, extra = None, list(notes)
        if also and also[0].source is source:
            second = Label(also[0].line, also[0].column, also[0].length, also[1])
        elif also:
            other = also[0]
            extra.insert(
                0, f"{also[1]}: {shown_path(other.source.label)}:{other.line}:{other.column}"
            )
        numbers = {span.line, max(1, span.line - 1)} | ({second.line} if second else set())
        shown = sorted(n for n in numbers if n <= len(source.lines))
        diagnostic = Diagnostic(
            code=code.value,
            severity="warning" if code.value.startswith("W") else "error",
            message=message,
            file=source.label,
            line=span.line,
            column=span.column,
            length=span.length,
            hint=hint,
            notes=tuple(extra),
            also=second,
            excerpt=tuple((n, source.lines[n - 1]) for n in shown),
        )
        key = (message, source.label, source.order, span.line, span.column)
        self._found.setdefault(key, diagnostic)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return all by position: the recipe's file first, then bases, then `--set` arguments."""
        order = sorted(self._found, key=lambda key: (key[2], key[1], key[3], key[4], key[0]))
        return tuple(self._found[key] for key in order)

    @property
    def has_errors(self) -> bool:
        """Whether anything but warnings was found."""
        return any(item.severity == "error" for item in self._found.values())
