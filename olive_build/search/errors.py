"""How measuring a candidate can end without a figure."""

from __future__ import annotations

from olive_build.errors import OliveBuildError


class CannotBuildError(Exception):
    """A candidate that fails to build; `cause` is the step's own error."""

    def __init__(self, cause: OliveBuildError) -> None:
        super().__init__(f"{cause.what}: {cause.why}" if cause.why else cause.what)
        self.cause = cause


class OutOfTimeError(Exception):
    """The time that the recipe gives the search is over."""
