"""The section `generation`: how a model that writes chooses its words, and who can keep to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from olive_build.knobs import knob
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.sections import Section

if TYPE_CHECKING:
    from olive_build.recipe.context import Place

SECTION = "generation"
TRANSFORMERS_JS = "transformers.js"
MOST_BEAMS = 128
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
class Unsupported:
    """A setting that a client does not keep to, in silence; `breaks` takes its value.

    `of_beams` says that it does where there are no beams.
    """

    name: str
    breaks: Callable[[Any], bool]
    message: str
    why: str
    hint: str
    of_beams: bool = False


# Source: src/models/modeling_utils.js (`_get_logits_processor`, `generate`) and
# src/generation/logits_sampler.js of huggingface/transformers.js 4.3.1.
NOT_IN_TRANSFORMERS_JS = (
    Unsupported(
        "num_beams",
        lambda value: value > 1,
        "transformers.js has no beam search, and {value} beams are asked for",
        "generate there takes the likeliest token each time whatever `num_beams` is, and says "
        "nothing: src/models/modeling_utils.js of 4.3.1",
        "write `num_beams: 1`, which `targets.web.generation` can say for the web alone",
    ),
    Unsupported(
        "top_p",
        lambda value: value < 1,
        "transformers.js does not heed `top_p`",
        "`_get_logits_processor` in src/models/modeling_utils.js of 4.3.1 leaves it out",
        "remove it; `top_k` is heeded",
    ),
    Unsupported(
        "num_return_sequences",
        lambda value: value > 1,
        "transformers.js writes one text, and {value} are asked for",
        "with `do_sample` it ignores the number, and without it stops with an error: "
        "src/generation/logits_sampler.js of 4.3.1",
        "write 1, and let the application ask several times",
    ),
)
# Reasons: olive_build/families/causal_lm/search.py; promise.py there says the same of what stands
# in a model's own files.
NOT_IN_THE_GRAPH = (
    Unsupported(
        "do_sample",
        lambda value: value,
        "`compose: single-file` cannot draw tokens",
        "nobody could compare what is drawn with generate's, and the operator Sampling has no "
        "`top_k`",
        "write `do_sample: false`, or `compose: none` and let the application draw",
    ),
    Unsupported(
        "num_return_sequences",
        lambda value: value > 1,
        "`compose: single-file` gives one text of a prompt, and {value} are asked for",
        "the operator BeamSearch keeps other candidates than generate behind the first",
        "write 1, or `compose: none`",
    ),
    Unsupported(
        "num_beams",
        lambda value: value > MOST_BEAMS,
        f"`compose: single-file` has {MOST_BEAMS} beams at most, not {{value}}",
        "kMaxNumBeams in contrib_ops/cpu/transformers/beam_search_parameters.cc of onnxruntime",
        "write fewer",
    ),
    Unsupported(
        "early_stopping",
        lambda value: value is not True,
        "`compose: single-file` stops when as many texts have ended as there are beams",
        "the operator BeamSearch guesses otherwise than generate whether a better text could "
        "follow",
        "write `early_stopping: true`, or `compose: none`",
        of_beams=True,
    ),
    Unsupported(
        "length_penalty",
        lambda value: value < 0,
        "`compose: single-file` takes no `length_penalty` below 0, and this is {value}",
        "what generate puts first can be among the candidates that BeamSearch drops",
        "write 0 or more, or `compose: none`",
        of_beams=True,
    ),
    Unsupported(
        "repetition_penalty",
        lambda value: 0 < value < 1,
        "`compose: single-file` with beams takes no `repetition_penalty` below 1, and this is "
        "{value}",
        "scores above probabilities have no place in BeamSearch, which makes them add up to 1",
        "write 1 or more, or `compose: none`",
        of_beams=True,
    ),
)


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
        if place.target.layout == TRANSFORMERS_JS:
            _report(place, given, NOT_IN_TRANSFORMERS_JS)
        elif compose == "single-file":
            _report(place, given, NOT_IN_THE_GRAPH)
            if given.get("num_beams", 1) > 1:
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


def _report(place: Place, values: dict[str, Any], limits: Sequence[Unsupported]) -> None:
    beams = values.get("num_beams", 1)
    for limit in limits:
        value = values.get(limit.name)
        if value is None or (limit.of_beams and beams == 1) or not limit.breaks(value):
            continue
        shown = json.dumps(value)
        place.add(
            Code.CANNOT_RUN,
            place.where(SECTION, limit.name),
            limit.message.format(value=shown),
            hint=f"{limit.hint}, or {ELSEWHERE}",
            notes=(limit.why,),
        )
