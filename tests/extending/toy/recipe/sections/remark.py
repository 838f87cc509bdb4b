"""A toy: a section in which a recipe says something to models of every family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from olive_build.knobs import knob
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.sections import Section

if TYPE_CHECKING:
    from olive_build.families.registry import Family
    from olive_build.recipe.context import Place


@dataclass(frozen=True)
class Remark(Section):
    """What its author says of a model; for all families."""

    section: ClassVar[str] = "remark"

    words: str = knob("One line of it. Left out, nothing.", "nothing")
    loud: bool = knob("Whether it is shouted. Left out, false.", False)

    @classmethod
    def speaks_to(cls, family: Family) -> bool:
        return True

    @classmethod
    def checked(cls, place: Place, compose: str, given: dict[str, Any]) -> dict[str, Any]:
        if "\n" in given.get("words", ""):
            path = place.where(cls.section, "words")
            place.add(Code.BAD_VALUE, path, "a remark is one line", hint="say less")
        return given

    def options(self) -> dict[str, Any]:
        return {}  # no step goes by it

    def recorded(self) -> dict[str, Any]:
        return {"remark": self.words.upper() if self.loud else self.words}
