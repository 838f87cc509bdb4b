"""A diagnostic, how it is printed, and the error that carries all diagnostics of a recipe."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from olive_build.errors import RecipeError
from olive_build.recipe.tree import Span


class MeaningfulCode(StrEnum):
    """Base of stable codes. `meaning` says in a line what each is for."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        """Return the member that equals `code`."""
        member = str.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member


class Code(MeaningfulCode):
    """R is an error in a recipe, W a warning. `meaning` says in a line what each is for."""

    UNKNOWN_FIELD = "R001", "a field that the language does not have, most often a typo"
    WRONG_TYPE = "R002", "a value of another type: text for a number, a list for a map"
    MISSING_FIELD = "R003", "a field that must be there"
    DUPLICATE_KEY = "R004", "one key written twice in a map"
    BAD_VALUE = "R005", "a value that is not one of those accepted"
    UNKNOWN_NAME = "R006", "a target, provider, variant, family, task, metric or data set not known"
    UNREADABLE = "R010", "a file that is not there, too large, binary or not UTF-8"
    SYNTAX = "R011", "text that is not YAML"
    REFUSED_YAML = "R012", "YAML that a recipe may not use: tags, merge keys, absurd nesting"
    EMPTY = "R013", "a file without a recipe in it"
    BAD_OVERRIDE = "R014", "a --set argument that is not key=value, or has no place to go"
    BAD_EXTENDS = "R015", "a base that is not there, goes in a circle, or is one too many"
    WRONG_VERSION = "R016", "a version of the language other than this release's"
    NAME_MISMATCH = "R017", "a name that differs from the file's"
    FAMILY_OR_TASK = "R020", "a model with both a family and a task, or neither"
    NOT_PINNED = "R021", "a source that could change under the recipe, or is not given"
    BAD_PATH = "R022", "a path that leaves the repository, or leads nowhere"
    PICKLED_WEIGHTS = "R023", "weights as pickles only, which run code when they are opened"
    NO_TARGETS = "R024", "a recipe that builds nothing"
    BAD_VARIANT = "R025", "a variant that cannot be a file's name, or a target with none"
    CANNOT_RUN = "R026", "something that the provider, target or family cannot do"
    CONFLICT = "R027", "two settings that exclude each other, or one named twice"
    BAD_PASS = "R028", "a pass or option that Olive does not have, or one that has no place"
    BUDGET_CONTRADICTION = "R040", "budgets that no file could keep, or that exclude each other"
    LOOSE_BUDGET = "W001", "a budget looser than the shipped default"
    UNUSED_BUDGET = "W002", "budgets of a variant that is not built"
    UNUSED_VARIANT = "W003", "a variant that no target builds"
    SLOW_KERNEL = "W004", "weights in blocks that the provider has no kernel for at that level"
    UNUSED_SETTING = "W005", "a setting or a name that nothing that is built uses"


Severity = Literal["error", "warning"]
_WIDEST_EXCERPT = 100
_CUT = "..."


@dataclass(frozen=True)
class Label:
    """A place to underline, with what is said beside the caret."""

    line: int
    column: int
    length: int
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One thing wrong in a recipe, complete: what, where, why (`notes`) and what to do (`hint`).

    `file` is a path, or the `--set` argument. `line`, `column` and `length` count characters from
    1. `also` is a second place in the same file. `excerpt` holds (number, text) of the lines shown.
    """

    code: str
    severity: Severity
    message: str
    file: str
    line: int
    column: int
    length: int
    hint: str
    notes: tuple[str, ...] = ()
    also: Label | None = None
    excerpt: tuple[tuple[int, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the diagnostic for pipelines; the excerpt is left to the reader's own file."""
        return {key: value for key, value in asdict(self).items() if key != "excerpt"}

    def render(self) -> str:
        """Return the lines that a person reads."""
        where = shown_path(self.file)
        if not where.startswith("--set"):
            where += f":{self.line}:{self.column}"
        width = len(str(max((number for number, _ in self.excerpt), default=1)))
        head = [f"{self.severity}[{self.code}]: {escaped(self.message)}"]
        head.append(f"{' ' * width}--> {escaped(where)}")
        body = [*self._excerpt_lines(width)]
        if not body and self.hint:
            body = [f"{' ' * width} = help: {escaped(self.hint)}"]
        notes = [line for note in self.notes for line in _wrapped(escaped(note), " " * width)]
        if notes and self.excerpt:
            body.append(f"{' ' * width} |")
        return "\n".join([*head, *body, *notes])

    def _excerpt_lines(self, width: int) -> Iterator[str]:
        labels = [Label(self.line, self.column, self.length, self.hint)]
        labels += [self.also] if self.also else []
        gutter = " " * width
        before = None
        for number, text in self.excerpt:
            if before is None:
                yield f"{gutter} |"
            elif number > before + 1:
                yield _CUT
            before = number
            here = [label for label in labels if label.line == number]
            start, stop = _window(text, here[0].column if here else 1)
            yield f"{number:>{width}} | {_cut(text, start, stop)}".rstrip()
            for label in here:
                yield f"{gutter} | {_caret(text, label, start, stop)}"


def _wrapped(note: str, gutter: str) -> list[str]:
    return textwrap.wrap(
        note,
        width=_WIDEST_EXCERPT + len(gutter),
        initial_indent=f"{gutter} = ",
        subsequent_indent=f"{gutter}   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def escaped(text: str) -> str:
    """Return `text` with control characters made visible, so that no text can steer a terminal."""
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character


def _columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes, once escaped."""
    shown = escaped(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in shown)
    return len(shown) + wide - sum(unicodedata.combining(character) > 0 for character in shown)


def _window(text: str, column: int) -> tuple[int, int]:
    """Return the slice of a long line to show: the part round `column`."""
    if len(text) <= _WIDEST_EXCERPT:
        return 0, len(text)
    start = max(0, min(column - 1 - _WIDEST_EXCERPT // 2, len(text) - _WIDEST_EXCERPT))
    return start, start + _WIDEST_EXCERPT


def _cut(text: str, start: int, stop: int) -> str:
    before, after = _CUT if start else "", _CUT if stop < len(text) else ""
    return before + escaped(text[start:stop]) + after


def _caret(text: str, label: Label, start: int, stop: int) -> str:
    first = label.column - 1
    indent = _columns(text[start:first]) + (len(_CUT) if start else 0)
    length = max(1, _columns(text[first : min(first + label.length, stop)]))
    return f"{' ' * indent}{'^' * length} {escaped(label.text)}".rstrip()


def shown_path(file: str) -> str:
    """Return a path relative to the current directory where it lies below it."""
    if file.startswith("--set"):
        return file
    path, here = Path(file), Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()


def count_text(diagnostics: Sequence[Diagnostic]) -> str:
    """Return '2 errors, 1 warning'."""
    counts = []
    for severity in ("error", "warning"):
        number = sum(item.severity == severity for item in diagnostics)
        if number:
            counts.append(f"{number} {severity}{'s' if number > 1 else ''}")
    return ", ".join(counts)


def render_all(diagnostics: Sequence[Diagnostic], file: str) -> str:
    """Return all diagnostics, a blank line between, closed with their count."""
    blocks = [item.render() for item in diagnostics]
    return "\n\n".join([*blocks, f"{count_text(diagnostics)} in {escaped(shown_path(file))}"])


class RecipeErrors(RecipeError):
    """A recipe has errors. `diagnostics` holds all of them, and its warnings, by position."""

    def __init__(self, diagnostics: Sequence[Diagnostic], file: str) -> None:
        super().__init__(f"{count_text(diagnostics)} in {shown_path(file)}", where=file)
        self.diagnostics = tuple(diagnostics)
        self.file = file

    def render(self) -> str:
        """Return every diagnostic as a person reads it."""
        return render_all(self.diagnostics, self.file)

    def as_json(self) -> dict[str, Any]:
        """Return the error with its diagnostics, for pipelines."""
        return {**super().as_json(), "diagnostics": [item.as_json() for item in self.diagnostics]}

    def __reduce__(self) -> tuple[object, ...]:
        return RecipeErrors, (self.diagnostics, self.file)


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
