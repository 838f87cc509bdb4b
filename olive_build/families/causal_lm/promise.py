"""What a client does otherwise than generate, said before anything is built for it.

What a recipe says by itself is refused where it is read, by the same limits. Here the model's own
generation_config.json counts too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from olive_build.errors import PlanError
from olive_build.families.causal_lm.client_files import CONFIG, GENERATION
from olive_build.families.causal_lm.generation import NAMES, Decoding, decoding
from olive_build.families.causal_lm.spec import CausalLmFacts
from olive_build.families.configuration import read_object
from olive_build.families.generation_keys import CHANGES
from olive_build.families.generation_limits import (
    OF_THE_GRAPH,
    OF_TRANSFORMERS_JS,
    Limit,
    broken,
)
from olive_build.targets.client import LAYOUT, load_client

# What changes generate's texts and is not in a recipe's section.
UNKNOWN = {name: harmless for name, harmless in CHANGES.items() if name not in NAMES}
# Of these, what transformers.js 4.3.1 heeds (src/models/modeling_utils.js, _get_logits_processor).
OF_CLIENT = (
    *("bad_words_ids", "begin_suppress_tokens", "suppress_tokens", "min_length", "min_new_tokens"),
    *("forced_bos_token_id", "forced_eos_token_id"),
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
        _require_kept(OF_TRANSFORMERS_JS, chosen, folder)
        for name in _unknown(folder):
            if name not in OF_CLIENT:
                raise PlanError(
                    f"transformers.js leaves out `{name}`, and the model's {GENERATION} has it",
                    where=str(folder / GENERATION),
                    why="generate heeds it, and the client would write other texts in silence",
                    hint=f"take it out of {GENERATION} if it is not meant",
                )


def _require_kept(limits: tuple[Limit, ...], chosen: Decoding, folder: Path) -> None:
    """Raise PlanError where the model's own file asks for what is not kept to."""
    for limit, value in broken(limits, chosen.as_json()):
        raise PlanError(
            limit.message(value), where=str(folder / GENERATION), why=limit.why, hint=limit.hint
        )


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


def _unknown(folder: Path) -> list[str]:
    """Return what the model's generation_config.json asks for and no recipe's section has."""
    saved = read_object(folder / GENERATION)
    return [name for name, harmless in UNKNOWN.items() if saved.get(name) not in harmless]


def check_search(facts: CausalLmFacts, how: Decoding, folder: Path) -> None:
    """Raise PlanError where a file that searches by itself could not write what generate writes."""
    _require_kept(OF_THE_GRAPH, how, folder)
    for what, why, hint in _of_the_model(facts, how, folder):
        raise PlanError(
            f"the search cannot be put into the graph: {what}",
            where=str(folder),
            why=why,
            hint=f"{hint}, {LEAVE}",
        )


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
