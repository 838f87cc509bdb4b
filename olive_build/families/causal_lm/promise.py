"""What a client does otherwise than generate, said before anything is built for it.

What a recipe says by itself is refused where it is read, in recipe/sections/generation.py. Here
the model's own generation_config.json counts too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import PlanError
from olive_build.families.causal_lm.client_files import CONFIG, GENERATION
from olive_build.families.causal_lm.generation import MOST_BEAMS, NAMES, Decoding, decoding
from olive_build.families.causal_lm.spec import CausalLmFacts
from olive_build.families.configuration import read_object
from olive_build.families.generation_keys import CHANGES
from olive_build.targets.client import LAYOUT, load_client

# What changes generate's texts and is not in a recipe's section.
UNKNOWN = {name: harmless for name, harmless in CHANGES.items() if name not in NAMES}
# Of these, what transformers.js 4.3.1 heeds (src/models/modeling_utils.js, _get_logits_processor).
OF_CLIENT = (
    *("bad_words_ids", "begin_suppress_tokens", "suppress_tokens", "min_length", "min_new_tokens"),
    *("forced_bos_token_id", "forced_eos_token_id"),
)


@dataclass(frozen=True)
class OperatorGap:
    """What ONNX Runtime's operators do otherwise; `of_beams` where that is with beams alone."""

    name: str
    breaks: Callable[[Decoding], bool]
    why: str
    hint: str
    of_beams: bool = False


LIMITS = (
    OperatorGap(
        "do_sample",
        lambda how: how.do_sample,
        "what is drawn cannot be compared with generate's, and Sampling knows no top_k",
        "`generation: {do_sample: false}`",
    ),
    OperatorGap(
        "num_return_sequences",
        lambda how: how.num_return_sequences > 1,
        "BeamSearch keeps other candidates than generate behind the first",
        "1",
    ),
    OperatorGap(
        "num_beams",
        lambda how: how.num_beams > MOST_BEAMS,
        f"BeamSearch has {MOST_BEAMS} at most",
        "fewer",
    ),
    OperatorGap(
        "early_stopping",
        lambda how: how.num_beams > 1 and how.early_stopping is not True,
        "BeamSearch guesses otherwise than generate whether a better text could follow; both stop "
        "alike when as many texts have ended as there are beams",
        "`early_stopping: true`",
        of_beams=True,
    ),
    OperatorGap(
        "length_penalty",
        lambda how: how.num_beams > 1 and how.length_penalty < 0,
        "what generate puts first can be among the candidates that BeamSearch drops",
        "0 or more",
        of_beams=True,
    ),
    OperatorGap(
        "repetition_penalty",
        lambda how: how.num_beams > 1 and how.repetition_penalty < 1,
        "scores above probabilities have no place in BeamSearch, which makes them add up to 1",
        "1 or more",
        of_beams=True,
    ),
)
LEAVE = "or write `compose: none` and let the application choose the words"


def check_promise(
    facts: CausalLmFacts, folder: Path, options: Mapping[str, str], layout: str, compose: str
) -> None:
    """Raise PlanError where a target could not write what generate writes by these options.

    `options` are a recipe's of generation, as JSON texts.
    """
    chosen = decoding(folder, options)
    if compose == "single-file":
        check_search(facts, chosen, folder)
    elif layout == LAYOUT:
        _check_known(facts, folder)
        _check_transformers_js(chosen, folder)


def _check_known(facts: CausalLmFacts, folder: Path) -> None:
    """Raise PlanError where the client has no class for the model, and would not load it."""
    client = load_client()
    known = client.models["text-generation"]
    if facts.architecture not in known:
        raise PlanError(
            f"{client.title} knows no model_type '{facts.architecture}'",
            where=str(folder / CONFIG),
            why="its pipeline throws 'Unsupported model type': src/models/registry.js",
            hint="leave this target out; an application without that client can run the files of "
            "the others",
        )


def _check_transformers_js(chosen: Decoding, folder: Path) -> None:
    """Raise PlanError where the model's own file asks for what the client leaves out in silence."""
    for name, lacks, why in (
        (
            "num_beams",
            f"has no beam search, and the model's {GENERATION} asks for {chosen.num_beams} beams",
            (
                "generate there takes the likeliest token each time whatever `num_beams` is, and "
                "says nothing"
            ),
        ),
        (
            "num_return_sequences",
            f"gives one text, and the model's {GENERATION} asks for {chosen.num_return_sequences}",
            "generate there raises an error for more, or ignores it where words are drawn",
        ),
    ):
        if getattr(chosen, name) > 1:
            raise PlanError(
                f"transformers.js {lacks}",
                where=str(folder / GENERATION),
                why=f"{why}: src/models/modeling_utils.js of 4.3.1",
                hint=f"write `generation: {{{name}: 1}}`, for this target or for all",
            )
    for name in _unknown(folder):
        if name not in OF_CLIENT:
            raise PlanError(
                f"transformers.js leaves out `{name}`, and the model's {GENERATION} has it",
                where=str(folder / GENERATION),
                why="generate heeds it, and the client would write other texts in silence",
                hint=f"take it out of {GENERATION} if it is not meant",
            )


def _unknown(folder: Path) -> list[str]:
    """Return what the model's generation_config.json asks for and no recipe's section has."""
    saved = read_object(folder / GENERATION)
    return [name for name, harmless in UNKNOWN.items() if saved.get(name) not in harmless]


def check_search(facts: CausalLmFacts, how: Decoding, folder: Path) -> None:
    """Raise PlanError where a file that searches by itself could not write what generate writes."""
    for what, why, hint in (*_limits(how), *_of_the_model(facts, how, folder)):
        raise PlanError(
            f"the search cannot be put into the graph: {what}",
            where=str(folder),
            why=why,
            hint=f"{hint}, {LEAVE}",
        )


def _limits(how: Decoding) -> Iterator[tuple[str, str, str]]:
    """Yield what is asked for in vain, why, and what to write instead."""
    for limit in LIMITS:
        if limit.breaks(how):
            beams = f" with {how.num_beams} beams" if limit.of_beams else ""
            value = json.dumps(getattr(how, limit.name))
            yield f"`{limit.name}` is {value}{beams}", limit.why, f"write {limit.hint}"


def _of_the_model(
    facts: CausalLmFacts, how: Decoding, folder: Path
) -> Iterator[tuple[str, str, str]]:
    if how.num_beams > 1 and len(facts.eos) > 1:
        what = f"{len(facts.eos)} tokens end a text of this model, with {how.num_beams} beams"
        yield what, "BeamSearch knows one", "write `num_beams: 1`"
    if facts.sizes is not None and not facts.sizes.alike:
        what = "the caches of this model are of several shapes"
        yield (
            what,
            "the search operators make the first ones alike",
            "take a target without a search",
        )
    for name in _unknown(folder):
        yield (
            f"the model's {GENERATION} has `{name}`",
            "generate heeds it, and the file would not",
            f"take it out of {GENERATION} if it is not meant",
        )
