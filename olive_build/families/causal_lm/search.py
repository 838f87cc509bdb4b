"""A causal language model under ONNX Runtime's GreedySearch or BeamSearch: token ids in and out.

Operators: com.microsoft GreedySearch and BeamSearch, docs/ContribOperators.md of
microsoft/onnxruntime. They run the steps, keep the caches in the order of the beams, choose and
stop. What generate does otherwise is done round them:

- Padding. Both take tokens that equal their pad token for padding when they count positions, even
  with an attention mask, and prompts may begin with that token: `search_step` counts them itself.
- Penalties: see `search_scores`.
- The end. GreedySearch writes its pad token for the end and goes on in rows that are done;
  BeamSearch leaves it out. Both are told that the end pads; `_cut` writes what generate returns.
- The length penalty. BeamSearch counts the prompt, and not the end. It ranks by bare sums here, and
  `_best` divides by the power of what was generated. What generate puts first is among those that
  BeamSearch kept, if the power is not negative: of texts that end in one step the likelier is kept,
  and what ended before that with a smaller sum is shorter, so that dividing makes it no better. Of
  the other candidates that is not so: one text comes out.
- Stopping is generate's with `early_stopping=True`: when as many texts have ended as there are
  beams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from olive_build.families.causal_lm.generation import LONGEST, Decoding
from olive_build.families.causal_lm.graph_sizes import sizes_of_graph
from olive_build.families.causal_lm.names import ATTENTION_MASK, BATCH, INPUT_IDS, SEQUENCE
from olive_build.families.causal_lm.search_scores import ENDLESS, NextToken
from olive_build.families.causal_lm.search_step import Around, step_graph
from olive_build.families.causal_lm.spec import CausalLmFacts
from olive_build.families.graph_writer import GraphWriter, tensor_info

DOMAIN = "com.microsoft"
MAX_NEW_TOKENS, SEQUENCES = "max_new_tokens", "sequences"


def search_graph(
    step: onnx.ModelProto, facts: CausalLmFacts, decoding: Decoding
) -> onnx.GraphProto:
    """Return the graph (input_ids, attention_mask, max_new_tokens) -> sequences, all int64.

    `input_ids` and `attention_mask` are [batch_size, sequence_length], padded on the left;
    `max_new_tokens` is [1]; what is above the model's positions, the prompt counted, is cut off.
    A prompt that fills them is refused by the operators.
    `sequences` [batch_size, generated_length] is what generate returns: the prompt, the tokens, the
    end where a text has one, and pad tokens up to the longest. `step` is used up.
    """
    sizes = sizes_of_graph(step.graph)
    search, choice = GraphWriter("search"), NextToken(sizes.vocabulary, facts.eos, decoding)
    around = _around(search, facts, decoding.num_beams)
    # Without an end of its own a model is given a token that it has not.
    end = facts.eos[0] if facts.eos else choice.columns
    attributes = {
        "decoder": step_graph(step.graph, sizes, choice, around),
        "eos_token_id": end,
        "pad_token_id": end,
        "domain": DOMAIN,
    }
    ids = search.cast(INPUT_IDS, TensorProto.INT32, "ids")
    longest = search.cast(around.max_length, TensorProto.INT32, "max_length/int32")
    if decoding.num_beams > 1:
        found = _beams(search, (ids, longest), around.length, choice, attributes)
    else:
        whole = search.add("GreedySearch", [ids, longest], "all", **attributes)
        found = _generated(search, whole, around.length, axis=1)
    _cut(search, found, facts.eos or (end,), _fill(facts, decoding, end))
    return helper.make_graph(
        search.nodes,
        "prompt_to_sequences",
        [
            tensor_info(INPUT_IDS, TensorProto.INT64, [BATCH, SEQUENCE]),
            tensor_info(ATTENTION_MASK, TensorProto.INT64, [BATCH, SEQUENCE]),
            tensor_info(MAX_NEW_TOKENS, TensorProto.INT64, [1]),
        ],
        [tensor_info(SEQUENCES, TensorProto.INT64, [BATCH, "generated_length"])],
        [*search.constants.values()],
    )


def _fill(facts: CausalLmFacts, decoding: Decoding, end: int) -> int:
    """Return the token that generate fills rows up with.

    For beams its code takes a pad token 0 for none: `output_fill_value` of `_beam_search` in
    src/transformers/generation/utils.py, huggingface/transformers 5.
    """
    is_given = facts.pad is not None if decoding.num_beams == 1 else bool(facts.pad)
    return facts.pad if is_given and facts.pad is not None else end


def _around(search: GraphWriter, facts: CausalLmFacts, beams: int) -> Around:
    """Append what the steps read: the mask of each beam, and lengths in tokens."""
    length = search.add("Shape", [INPUT_IDS], "length", start=1, end=2)
    whole = search.add("Add", [length, MAX_NEW_TOKENS], "whole")
    most = search.constant("most", [min(facts.positions or LONGEST, LONGEST)])
    max_length = search.add("Min", [whole, most], "max_length")
    one = search.add("Unsqueeze", [ATTENTION_MASK, search.number(1)], "mask/one")
    each = search.add("Expand", [one, search.constant("mask/beams", [1, beams, 1])], "mask/each")
    shape = search.add("Concat", [search.number(-1), length], "mask/shape", axis=0)
    return Around(search.add("Reshape", [each, shape], "mask"), length, max_length)


def _generated(search: GraphWriter, whole: str, length: str, axis: int) -> str:
    """Return what stands behind the prompt, as int64."""
    after = search.columns(whole, length, search.constant("endless", [ENDLESS]), "behind", axis)
    return search.cast(after, TensorProto.INT64, "generated")


def _cut(search: GraphWriter, found: str, eos: tuple[int, ...], pad: int) -> None:
    """Add `sequences`: the prompt, and of `found` [batch, tokens] what is no later than its end.

    Shorter texts are filled up with `pad` to the longest.
    """
    after = _after_end(search, found, eos, 1, "cut")
    padded = search.add("Where", [after, search.constant("cut/pad", pad), found], "cut/padded")
    within = search.cast(search.add("Not", [after], "cut/within"), TensorProto.INT64, "cut/ones")
    counts = search.add("ReduceSum", [within, search.number(1)], "cut/counts", keepdims=0)
    longest = search.add("ReduceMax", [counts], "cut/longest", keepdims=1)
    tokens = search.columns(padded, search.number(0), longest, "cut/tokens")
    search.output("Concat", [INPUT_IDS, tokens], SEQUENCES, axis=1)


def _after_end(search: GraphWriter, found: str, eos: tuple[int, ...], axis: int, where: str) -> str:
    """Return which tokens stand behind the first end of their row, as flags."""
    is_end = ""
    for index, end in enumerate(eos):
        same = search.add(
            "Equal", [found, search.constant(f"end_{index}", end)], f"{where}/is_{index}"
        )
        is_end = search.add("Or", [is_end, same], f"{where}/or_{index}") if is_end else same
    ones = search.cast(is_end, TensorProto.INT64, f"{where}/ends")
    before = search.add(
        "CumSum", [ones, search.constant(f"{where}/axis", axis)], f"{where}/before", exclusive=1
    )
    return search.add("Greater", [before, search.constant("none", 0)], f"{where}/after")


def _beams(
    search: GraphWriter,
    inputs: tuple[str, str],
    length: str,
    choice: NextToken,
    attributes: Mapping[str, Any],
) -> str:
    """Add the operator with all its candidates; return the best one's tokens [batch, tokens]."""
    ids, max_length = inputs
    beams = search.constant("num_beams", [choice.decoding.num_beams], np.int32)
    least = search.constant("min_length", [0], np.int32)
    sums_only = search.constant("length_penalty", [0.0], np.float32)
    given = [ids, max_length, least, beams, beams, sums_only]
    if choice.rest is not None:
        allowed = np.ones(choice.columns, np.int32)
        allowed[choice.rest] = 0
        given += ["", search.constant("allowed", allowed, np.int32)]
    whole, sums = "search/all", "search/sums"
    search.nodes.append(
        helper.make_node(
            "BeamSearch",
            given,
            [whole, sums],
            name="search/BeamSearch",
            early_stopping=1,
            **attributes,
        )
    )
    found = _generated(search, whole, length, axis=2)
    if choice.last_end is not None:
        stands = search.constant("last_end", choice.last_end)
        is_last = search.add("Equal", [found, stands], "is_last_end")
        found = search.add(
            "Where", [is_last, search.constant("end_0", choice.eos[0]), found], "candidates"
        )
    return _best(search, found, sums, attributes["eos_token_id"], choice.decoding.length_penalty)


def _best(search: GraphWriter, found: str, sums: str, end: int, length_penalty: float) -> str:
    """Return the candidate whose sum over a power of its length is highest: [batch, tokens].

    `found` are [batch, beams, tokens], `sums` of their log-probabilities [batch, beams]. A length
    counts what was generated, the end too.
    """
    after = _after_end(search, found, (end,), 2, "best")
    within = search.add("Not", [after], "best/within")
    ones = search.cast(within, TensorProto.FLOAT, "best/ones")
    axis = search.number(2)
    lengths = search.add("ReduceSum", [ones, axis], "best/lengths", keepdims=0)
    power = search.constant("best/power", length_penalty, np.float32)
    divisor = search.add("Pow", [lengths, power], "best/divisor")
    scores = search.add("Div", [sums, divisor], "best/scores")
    best = search.add("ArgMax", [scores], "best/beam", axis=1, keepdims=1)  # [batch, 1]
    index = search.add("Unsqueeze", [best, axis], "best/index")  # [batch, 1, 1]
    one = search.number(1)
    batch = search.add("Shape", [found], "best/batch", start=0, end=1)
    tokens = search.add("Shape", [found], "best/tokens", start=2, end=3)
    wanted = search.add("Concat", [batch, one, tokens], "best/wanted", axis=0)
    places = search.add("Expand", [index, wanted], "best/places")  # [batch, 1, tokens]
    chosen = search.add("GatherElements", [found, places], "best/chosen", axis=1)
    return search.add("Squeeze", [chosen, one], "best/sequence")
