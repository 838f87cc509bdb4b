"""The section `generation`: how a model that writes chooses its words, and who can keep to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from olive_build.families.generation_limits import broken, limits_of
from olive_build.knobs import knob
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.sections import Section

if TYPE_CHECKING:
    from olive_build.recipe.context import Place

SECTION = "generation"
# The lowest and highest values that mean something; None has no bound.
BOUNDS: dict[str, tuple[float, float | None]] = {
    "max_new_tokens": (1, None),
    "num_beams": (1, None),
    "no_repeat_ngram_size": (0, None),
    "num_return_sequences": (1, None),
    "top_k": (0, None),
    "top_p": (0, 1),
}
ABOVE_ZERO = ("repetition_penalty", "temperature")
# What says nothing without beams, or without sampling.
OF_BEAMS = ("length_penalty", "early_stopping")
OF_SAMPLING = ("temperature", "top_k", "top_p")
ELSEWHERE = "set it under the other targets only"


@dataclass(frozen=True)
class Generation(Section):
    """How a model that writes chooses its words; for families that write."""

    # None is what the model's own files say; names and values are those of transformers' generate.
    section: ClassVar[str] = SECTION

    max_new_tokens: int | None = knob(
        "How many tokens follow a prompt at most. A file that searches by itself is given the "
        "number, and this one is what its README begins with.",
        None,
    )
    num_beams: int | None = knob(
        "How many texts are followed side by side; 1 takes the likeliest token each time. "
        "transformers.js has no beams: more than 1 is refused for its layout.",
        None,
    )
    repetition_penalty: float | None = knob(
        "Above 1, tokens that the text has already become less likely; 1 changes nothing.", None
    )
    no_repeat_ngram_size: int | None = knob(
        "No run of this many tokens comes twice, the prompt included; 0 for no limit.", None
    )
    length_penalty: float | None = knob(
        "With beams: the power of its length that a text's score is divided by. Above 0 longer "
        "texts win, below 0 shorter ones, which a single file does not do.",
        None,
    )
    early_stopping: bool | None = knob(
        "With beams: true stops when as many texts have ended as there are beams, false when no "
        "better one is likely. A single file does the first alone, which is its default.",
        None,
    )
    num_return_sequences: int | None = knob(
        "How many texts come of a prompt; 1 in a single file and in transformers.js.", None
    )
    do_sample: bool | None = knob(
        "true draws tokens by their probabilities, which a single file does not do.", None
    )
    temperature: float | None = knob("With do_sample: above 1 evens out probabilities.", None)
    top_k: int | None = knob(
        "With do_sample: draws from this many likeliest tokens; 0 from all.", None
    )
    top_p: float | None = knob(
        "With do_sample: draws from the fewest tokens whose probabilities add up to this. "
        "transformers.js ignores it: below 1 is refused for its layout.",
        None,
    )

    @classmethod
    def checked(cls, place: Place, compose: str, given: dict[str, Any]) -> dict[str, Any]:
        for name, value in given.items():
            _check_bounds(place, name, value)
        _check_together(place, given)
        limits = limits_of(place.target.layout, compose)
        for limit, value in broken(limits, given):
            place.add(
                Code.CANNOT_RUN,
                place.where(SECTION, limit.name),
                limit.message(value),
                hint=f"{limit.hint}, or {ELSEWHERE}",
                notes=(limit.why,),
            )
        if compose == "single-file" and given.get("num_beams", 1) > 1:
            # What BeamSearch does; generate's own default is false.
            return {"early_stopping": True, **given}
        return given


def _check_bounds(place: Place, name: str, value: Any) -> None:
    path = place.where(SECTION, name)
    low, high = BOUNDS.get(name, (None, None))
    if name in ABOVE_ZERO and value <= 0:
        message, hint = f"`{name}` is {value:g}", "write a number above 0; 1 changes nothing"
        place.add(Code.BAD_VALUE, path, message, hint=hint)
    elif low is not None and (value < low or (high is not None and value > high)):
        bounds = f"from {low:g} on" if high is None else f"from {low:g} to {high:g}"
        place.add(Code.BAD_VALUE, path, f"`{name}` is {value:g}", hint=f"write a number {bounds}")


def _check_together(place: Place, values: dict[str, Any]) -> None:
    """Report settings that exclude each other, or that say nothing without another."""
    beams, returned = values.get("num_beams", 1), values.get("num_return_sequences", 1)
    if returned > beams and not values.get("do_sample"):
        place.add(
            Code.CONFLICT,
            place.where(SECTION, "num_return_sequences"),
            f"{returned} texts are asked for, and there {'are' if beams > 1 else 'is'} {beams} "
            f"beam{'s' if beams > 1 else ''}",
            hint=f"write `num_beams: {returned}`, or fewer texts",
            notes=("a search has no more texts than beams; without beams all would be one",),
        )
    if beams == 1:
        _report_idle(place, values, OF_BEAMS, "num_beams", "`num_beams` of 2 or more")
    if not values.get("do_sample"):
        _report_idle(place, values, OF_SAMPLING, "do_sample", "`do_sample: true`")


def _report_idle(
    place: Place, values: dict[str, Any], names: tuple[str, ...], needs: str, add: str
) -> None:
    switch = place.where(SECTION, needs)
    for name in names:
        path = place.where(SECTION, name)
        # A target may switch off what the recipe says for all; then nothing is meant by it there.
        switched_off = switch[-1] == needs and len(switch) > len(path)
        if name in values and not switched_off:
            place.add(
                Code.CONFLICT,
                path,
                f"`{name}` says nothing without {add}",
                hint=f"add {add}, or remove it",
                notes=("generate ignores it then, and whoever reads the recipe would not know",),
            )
