"""Every error a user can meet, and the exit code of its kind.

An error says what happened, where, why, and what to do. The command line renders it; it never
shows a traceback for one of these. Anything else that reaches the top is a bug of ours (exit 1).
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_PLAN = 3
EXIT_STEP = 4
EXIT_PROOF = 5
EXIT_BUNDLE = 6
EXIT_INTERRUPTED = 130


class OliveBuildError(Exception):
    """Base of all errors shown to users; subclasses fix the exit code."""

    exit_code: int = EXIT_BUG

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint

    def render(self) -> str:
        """Return the error as the lines a user reads: what, where, why, what to do."""
        lines = [f"error: {_lines(self.what)}"]
        for label, text in (("at", self.where), ("because", self.why), ("to fix", self.hint)):
            if text:
                first, *rest = _lines(text).splitlines()
                lines.append(f"  {label + ':':<9}{first}")
                lines.extend(f"           {line}" for line in rest)
        return "\n".join(lines)

    def as_json(self) -> dict[str, str | int | None]:
        """Return the error for pipelines: its kind, exit code and the same four texts."""
        return {
            "kind": type(self).__name__,
            "exit_code": self.exit_code,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "hint": self.hint,
        }

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by Exception's own pickling, and errors cross processes.
        return _rebuild, (type(self), self.what, self.where, self.why, self.hint)


def printable(text: str, keep: str = "") -> str:
    """Return any text for a terminal, with control characters escaped unless kept."""
    if text.translate(dict.fromkeys(map(ord, keep))).isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in keep else sign.encode("unicode_escape").decode()
        for sign in text
    )


def _lines(text: str) -> str:
    return printable(text.replace("\r\n", "\n"), keep="\n\t")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its kind where it has none.

    A line that ends in a colon says nothing without the one after it.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _rebuild(
    kind: type[OliveBuildError], what: str, where: str | None, why: str | None, hint: str | None
) -> OliveBuildError:
    return kind(what, where=where, why=why, hint=hint)


class UsageError(OliveBuildError):
    """The command line asks for something that does not exist or makes no sense."""

    exit_code = EXIT_USAGE


class RecipeError(OliveBuildError):
    """A recipe is not valid; its diagnostics carry positions."""

    exit_code = EXIT_USAGE


class PlanError(OliveBuildError):
    """A valid recipe asks for something that cannot be planned, or its model is not available."""

    exit_code = EXIT_PLAN


class StepError(OliveBuildError):
    """A step failed, or what it wrote is not what the step is for."""

    exit_code = EXIT_STEP


class ProofError(OliveBuildError):
    """A bundle is out of its budgets, or a published one no longer holds them."""

    exit_code = EXIT_PROOF


class BundleError(OliveBuildError):
    """A bundle cannot be written, read or trusted."""

    exit_code = EXIT_BUNDLE
