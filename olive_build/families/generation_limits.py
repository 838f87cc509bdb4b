"""What a client or ONNX Runtime's operators do otherwise than transformers' generate, in silence.

A recipe that asks for it is refused where it is read, and a model whose own generation_config.json
does before anything is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# kMaxNumBeams in contrib_ops/cpu/transformers/beam_search_parameters.cc of onnxruntime.
MOST_BEAMS = 128


@dataclass(frozen=True)
class Limit:
    """A setting that is not kept to where `breaks` takes its value.

    `what` has a place for the value; `hint` says what to write. `only` says that the setting means
    nothing but with beams, or where tokens are drawn.
    """

    name: str
    breaks: Callable[[Any], bool]
    what: str
    why: str
    hint: str
    only: Literal["", "beams", "drawn"] = ""

    def message(self, value: Any) -> str:
        """Return what is asked for in vain."""
        return self.what.replace("{value}", json.dumps(value))


# Source: src/models/modeling_utils.js (`_get_logits_processor`, `generate`) and
# src/generation/logits_sampler.js of huggingface/transformers.js 4.3.1.
OF_TRANSFORMERS_JS = (
    Limit(
        "num_beams",
        lambda value: value > 1,
        "transformers.js has no beam search, and {value} beams are asked for",
        "generate there takes the likeliest token each time whatever `num_beams` is, and says "
        "nothing: src/models/modeling_utils.js of 4.3.1",
        "write `generation: {num_beams: 1}`, which `targets.web` can say for the web alone",
    ),
    Limit(
        "top_p",
        lambda value: value < 1,
        "transformers.js does not heed `top_p`, and {value} is asked for",
        "`_get_logits_processor` in src/models/modeling_utils.js of 4.3.1 leaves it out",
        "write `generation: {top_p: 1}`; `top_k` is heeded",
        only="drawn",
    ),
    Limit(
        "num_return_sequences",
        lambda value: value > 1,
        "transformers.js writes one text, and {value} are asked for",
        "with `do_sample` it ignores the number, and without it stops with an error: "
        "src/generation/logits_sampler.js of 4.3.1",
        "write `generation: {num_return_sequences: 1}`, and let the application ask several times",
    ),
)
# Reasons: olive_build/families/causal_lm/search.py.
OF_THE_GRAPH = (
    Limit(
        "do_sample",
        lambda value: value,
        "`compose: single-file` cannot draw tokens",
        "nobody could compare what is drawn with generate's, and the operator Sampling has no "
        "`top_k`",
        "write `do_sample: false`, or `compose: none` and let the application draw",
    ),
    Limit(
        "num_return_sequences",
        lambda value: value > 1,
        "`compose: single-file` gives one text of a prompt, and {value} are asked for",
        "the operator BeamSearch keeps other candidates than generate behind the first",
        "write 1, or `compose: none`",
    ),
    Limit(
        "num_beams",
        lambda value: value > MOST_BEAMS,
        f"`compose: single-file` has {MOST_BEAMS} beams at most, not {{value}}",
        "kMaxNumBeams in contrib_ops/cpu/transformers/beam_search_parameters.cc of onnxruntime",
        "write fewer, or `compose: none`",
    ),
    Limit(
        "early_stopping",
        lambda value: value is not True,
        "`compose: single-file` stops when as many texts have ended as there are beams, and "
        "`early_stopping` is {value}",
        "the operator BeamSearch guesses otherwise than generate whether a better text could "
        "follow",
        "write `early_stopping: true`, or `compose: none`",
        only="beams",
    ),
    Limit(
        "length_penalty",
        lambda value: value < 0,
        "`compose: single-file` takes no `length_penalty` below 0, and this is {value}",
        "what generate puts first can be among the candidates that BeamSearch drops",
        "write 0 or more, or `compose: none`",
        only="beams",
    ),
    Limit(
        "repetition_penalty",
        lambda value: 0 < value < 1,
        "`compose: single-file` with beams takes no `repetition_penalty` below 1, and this is "
        "{value}",
        "scores above probabilities have no place in BeamSearch, which makes them add up to 1",
        "write 1 or more, or `compose: none`",
        only="beams",
    ),
)


def limits_of(layout: str, compose: str) -> tuple[Limit, ...]:
    """Return what is not kept to by what writes in such a layout."""
    if compose == "single-file":
        return OF_THE_GRAPH
    return OF_TRANSFORMERS_JS if layout == "transformers.js" else ()


def broken(limits: tuple[Limit, ...], asked: Mapping[str, Any]) -> Iterator[tuple[Limit, Any]]:
    """Yield the limits that settings break, each with the value; what is not said breaks none."""
    means = {"": True, "beams": asked.get("num_beams", 1) > 1, "drawn": asked.get("do_sample")}
    for limit in limits:
        value = asked.get(limit.name)
        if value is not None and means[limit.only] and limit.breaks(value):
            yield limit, value
