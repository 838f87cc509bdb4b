"""The method is searched: the fastest that holds the variant's budgets (`search/`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from olive_build.knobs import knob
from olive_build.methods import Method, Problem, Use, uncalibrated

# What is searched for in place of targets whose candidates no machine that builds can time.
SEARCHED_TARGET = "desktop"


@dataclass(frozen=True)
class Auto(Method):
    """The method is searched: the fastest that holds the variant's budgets. Or just `auto`."""

    needs_calibration: ClassVar[bool] = True

    max_minutes: float = knob(
        "How long the search may take; what it has measured before is not measured again.", 10.0
    )
    seed: int = knob("Another seed breaks ties another way.", 0)
    method: Literal["auto"] = knob("Searched when the recipe is built.", "auto")

    @property
    def precision(self) -> str:
        """What a search finds is int8 in one form or another."""
        return "int8"

    def problems(self, use: Use) -> Iterator[Problem]:
        if not use.family.searches:
            yield Problem(
                "method",
                f"no search is built for models of {use.family.name} ('{use.variant}' is `auto`)",
                f"build `int8` in its place, or a variant by {uncalibrated()}",
                "a search judges each layer, and their graphs are fed by one another",
            )
        elif use.provider.runs_here_by is None or not use.target.builds_here:
            yield Problem(
                "",
                f"no search can measure '{use.provider.name}' for '{use.target.name}' here "
                f"('{use.variant}' is `auto`)",
                f"search for {SEARCHED_TARGET}, `olive-build build {use.recipe} --target "
                f"{SEARCHED_TARGET} --write-recipe FILE`, and name the method that it writes",
                "a search goes by measured speed, and guesses are no measurements",
            )
