"""What the numbers of `train` may be, and what is said of one that means nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from olive_build.recipe.codes import Code
from olive_build.recipe.trained_section import Section

LARGEST_COUNT = 65_536
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Bounds:
    """Which numbers mean something, and how to say so."""

    holds: Callable[[float], bool]
    hint: str


ABOVE_ZERO = Bounds(lambda value: value > 0, "write a number above 0")
NOT_NEGATIVE = Bounds(lambda value: value >= 0, "write 0 or more")
BELOW_ONE = Bounds(lambda value: 0 <= value < 1, "write a number from 0 to below 1")
BELOW_HALF = Bounds(lambda value: 0 < value < 0.5, "write a number between 0 and 0.5")
COUNT = Bounds(lambda value: 1 <= value <= LARGEST_COUNT, f"write 1 to {LARGEST_COUNT}")
SEED = Bounds(lambda value: 0 <= value <= LARGEST_SEED, f"write 0 to {LARGEST_SEED}")


def check_number(
    section: Section, path: tuple[str | int, ...], value: float, bounds: Bounds, why: str = ""
) -> bool:
    """Report a number out of its bounds; return whether it is within them."""
    if bounds.holds(value):
        return True
    name = next(str(key) for key in reversed(path) if isinstance(key, str))
    short = f"{value:g}"
    shown = short if isinstance(value, float) and float(short) == value else str(value)[:40]
    message = f"`{name}` cannot be {shown}"
    notes = (why,) if why else ()
    section.add(Code.BAD_VALUE, path, message, hint=bounds.hint, notes=notes)
    return False
