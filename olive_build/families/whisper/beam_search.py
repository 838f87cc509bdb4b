"""Encoder and decoder under one WhisperBeamSearch: log-mel in, token ids out, caches inside.

The operator's subgraphs: `encoder` reads the audio and the prompt, `decoder` makes every further
token. Operator: com.microsoft WhisperBeamSearch, docs/ContribOperators.md of microsoft/onnxruntime;
what it asks of its subgraphs is in contrib_ops/cpu/transformers/subgraph_whisper_*.cc there.

The operator is given the prompt's last token alone; those before it stand in the first step. It
divides a beam's score by a power of its length, the prompt included, where transformers counts what
was generated and the end: with a prompt of one token both are the same number, and beams of
different lengths are ranked alike. It stops when as many texts as there are beams are complete, as
transformers does with `early_stopping=True`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.families.graph_writer import tensor_info
from olive_build.families.whisper.spec import (
    DECODER,
    DECODER_WITH_PAST,
    ENCODER,
    ENCODER_STATES,
    HIDDEN,
    INPUT_FEATURES,
    INPUT_IDS,
    LOGITS,
    WhisperFacts,
    past_names,
    present_names,
)
from olive_build.rewrites.shared_tensors import prefix_names, share_tensors

DOMAIN = "com.microsoft"
MODEL_TYPE_WHISPER = 2
SEQUENCES = "sequences"
# The operator's other inputs, in its order, with their types: what an application chooses.
SETTINGS: Mapping[str, int] = {
    "max_length": TensorProto.INT32,
    "min_length": TensorProto.INT32,
    "num_beams": TensorProto.INT32,
    "num_return_sequences": TensorProto.INT32,
    "length_penalty": TensorProto.FLOAT,
    "repetition_penalty": TensorProto.FLOAT,
}
SHORTER = {"max_length": "search/max_length", "min_length": "search/min_length"}
ALL, SHOWN, SHOWN_LEAST = "search/sequences", "search/shown", "search/shown_least"
PROMPT, ALLOWED, ALLOWED_FIRST = "search/prompt", "search/allowed", "search/allowed_first"
Parts = Mapping[str, onnx.ModelProto]


def beam_search(
    parts: Parts, facts: WhisperFacts, prompt: Sequence[int]
) -> tuple[onnx.NodeProto, list[onnx.TensorProto]]:
    """Return the node that searches, and the tensors that it and its graphs read.

    From input_features it makes `search/sequences`, which `lengths` cuts to `sequences`: int32
    [batch_size, num_return_sequences, max_length] from the prompt's last token on. Lengths that the
    node is given count from there. Every distinct tensor of the parts is stored once. `parts` are
    used up.
    """
    first, later = _first_step(parts, facts, prompt[:-1]), _later_step(parts, facts)
    tensors = share_tensors([first, later])
    inputs = [INPUT_FEATURES, *(SHORTER.get(name, name) for name in SETTINGS)]
    masks = _masks(facts)
    inputs += [mask.name if mask else "" for mask in masks]
    inputs += ["", PROMPT]  # no attention_mask
    tensors += [mask for mask in masks if mask]
    tensors.append(numpy_helper.from_array(np.array([prompt[-1:]], np.int32), PROMPT))
    node = helper.make_node(
        "WhisperBeamSearch",
        inputs,
        [ALL],
        name="search/WhisperBeamSearch",
        domain=DOMAIN,
        encoder=first,
        decoder=later,
        eos_token_id=facts.end,
        pad_token_id=facts.pad,
        decoder_start_token_id=facts.start,
        no_timestamps_token_id=facts.no_timestamps,
        beginning_timestamp_token_id=facts.no_timestamps + 1,
        translate_token_id=facts.tasks.get("translate", -1),
        transcribe_token_id=facts.tasks.get("transcribe", -1),
        no_repeat_ngram_size=0,
        early_stopping=1,
        model_type=MODEL_TYPE_WHISPER,
    )
    return node, tensors


def lengths(
    prompt: Sequence[int], positions: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return nodes and tensors that turn lengths as applications count them into the node's.

    Applications count the whole prompt, as transformers does; what is above the decoder's positions
    counts as those. The nodes cut the search's result to
    `sequences`, too.
    """
    before, least, most = "search/before", "search/least", "search/most"
    nodes = [
        # The operator writes two tokens at least; what is above max_length is cut off again.
        helper.make_node(
            "Max", [f"{SHORTER['max_length']}/difference", SHOWN_LEAST], [SHOWN], name=SHOWN
        ),
        helper.make_node(
            "Slice", [ALL, "search/first", SHOWN, "search/axis"], [SEQUENCES], name="search/cut"
        ),
    ]
    for name, shorter in SHORTER.items():
        inner, known = f"{shorter}/difference", f"{shorter}/known"
        nodes.append(helper.make_node("Min", [name, most], [known], name=known))
        nodes.append(helper.make_node("Sub", [known, before], [inner], name=inner))
        nodes.append(helper.make_node("Max", [inner, f"{least}/{name}"], [shorter], name=shorter))
    constants = {before: len(prompt) - 1, f"{least}/max_length": 3, f"{least}/min_length": 0}
    constants |= {most: positions, SHOWN_LEAST: 1, "search/first": 0, "search/axis": 2}
    tensors = [
        numpy_helper.from_array(np.array([value], np.int32), name)
        for name, value in constants.items()
    ]
    return nodes, tensors


def _masks(facts: WhisperFacts) -> tuple[onnx.TensorProto | None, onnx.TensorProto | None]:
    """Return which tokens may come at all, and which may come first; None where all may."""
    found = []
    for name, suppressed, shape in (
        (ALLOWED, facts.suppressed, (facts.vocabulary,)),
        (ALLOWED_FIRST, facts.suppressed_first, (1, facts.vocabulary)),
    ):
        mask = np.ones(shape, np.int32)
        mask[..., list(suppressed)] = 0
        found.append(numpy_helper.from_array(mask, name) if suppressed else None)
    return found[0], found[1]


def _first_step(parts: Parts, facts: WhisperFacts, before: Sequence[int]) -> onnx.GraphProto:
    """Join encoder and decoder: (features, last token) -> logits, hidden states, all caches."""
    encoder, decoder = parts[ENCODER].graph, parts[DECODER].graph
    prefix_names(encoder, "encoder/")
    prefix_names(decoder, "decoder/")
    made, cross = (present_names(facts, whose) for whose in ("decoder", "encoder"))
    ends = {
        f"encoder/{INPUT_FEATURES}": "encoder_input_ids",
        f"encoder/{HIDDEN}": ENCODER_STATES,
        f"decoder/{ENCODER_STATES}": ENCODER_STATES,
        f"decoder/{LOGITS}": LOGITS,
        **_ends(facts, "present", [f"decoder/{name}" for name in (*made, *cross)]),
    }
    for part in (encoder, decoder):
        _rename(part, ends)
    prompt, constants = _whole_prompt(before)
    text: list[str | int] = ["batch_size", "sequence_length"]
    own, other = _caches(facts, "present", "total_sequence_length")
    states: list[str | int] = ["batch_size", facts.source_positions, facts.dimensions]
    return helper.make_graph(
        [*encoder.node, *prompt, *decoder.node],
        "encoder and first step of the decoder",
        [
            tensor_info(
                "encoder_input_ids",
                TensorProto.FLOAT,
                ["batch_size", facts.mel_bins, facts.frames],
            ),
            tensor_info("decoder_input_ids", TensorProto.INT32, ["batch_size", 1]),
        ],
        [
            tensor_info(LOGITS, TensorProto.FLOAT, [*text, facts.vocabulary]),
            tensor_info(ENCODER_STATES, TensorProto.FLOAT, states),
            *own,
            *other,
        ],
        [*encoder.initializer, *decoder.initializer, *constants],
    )


def _whole_prompt(
    before: Sequence[int],
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return nodes that put the tokens `before` in front of the one that each row is given."""
    tokens, shape = np.array([before], np.int64), np.array([1], np.int64)
    given, wanted = "decoder_input_ids", f"decoder/{INPUT_IDS}"
    cast, rows, both = "prompt/last", "prompt/rows", "prompt/shape"
    nodes = [
        helper.make_node("Cast", [given], [cast], name=cast, to=TensorProto.INT64),
        helper.make_node("Shape", [cast], [rows], name=rows, start=0, end=1),
        helper.make_node("Concat", [rows, "prompt/count"], [both], name=both, axis=0),
        helper.make_node("Expand", ["prompt/tokens", both], ["prompt/first"], name="prompt/first"),
        helper.make_node("Concat", ["prompt/first", cast], [wanted], name="prompt/whole", axis=1),
    ]
    constants = [
        numpy_helper.from_array(tokens, "prompt/tokens"),
        numpy_helper.from_array(shape * len(before), "prompt/count"),
    ]
    return nodes, constants


def _later_step(parts: Parts, facts: WhisperFacts) -> onnx.GraphProto:
    """Return the decoder with the names and types that the operator asks for."""
    graph = parts[DECODER_WITH_PAST].graph
    prefix_names(graph, "later/")
    past = [f"later/{n}" for w in ("decoder", "encoder") for n in past_names(facts, w)]
    made = [f"later/{name}" for name in present_names(facts, "decoder")]
    ends = {f"later/{LOGITS}": LOGITS}
    _rename(graph, ends | _ends(facts, "past", past) | _ends(facts, "present", made))
    own, cross = _caches(facts, "past", "past_sequence_length")
    return helper.make_graph(
        [_cast("input_ids", f"later/{INPUT_IDS}"), *graph.node],
        "later steps of the decoder",
        [tensor_info("input_ids", TensorProto.INT32, ["batch_size", 1]), *own, *cross],
        [
            tensor_info(LOGITS, TensorProto.FLOAT, ["batch_size", 1, facts.vocabulary]),
            *_caches(facts, "present", "total_sequence_length")[0],
        ],
        graph.initializer,
    )


def _ends(facts: WhisperFacts, prefix: str, names: Sequence[str]) -> dict[str, str]:
    """Map caches to the operator's names: those of the text, then those of the audio."""
    return dict(zip(names, _cache_names(facts, prefix), strict=False))


def _cache_names(facts: WhisperFacts, prefix: str) -> list[str]:
    return [
        f"{prefix}_{what}_{whose}_{layer}"
        for whose in ("self", "cross")
        for layer in range(facts.decoder_layers)
        for what in ("key", "value")
    ]


def _caches(
    facts: WhisperFacts, prefix: str, length: str
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Return the caches as inputs or outputs; the operator refuses symbolic heads and sizes."""
    size = facts.dimensions // facts.decoder_heads
    names, half = _cache_names(facts, prefix), 2 * facts.decoder_layers
    own, cross = (
        ["batch_size", facts.decoder_heads, steps, size]
        for steps in (length, facts.source_positions)
    )
    return (
        [tensor_info(name, TensorProto.FLOAT, own) for name in names[:half]],
        [tensor_info(name, TensorProto.FLOAT, cross) for name in names[half:]],
    )


def _cast(given: str, wanted: str) -> onnx.NodeProto:
    # The operator's ids are int32, those of the parts int64, as other clients give them.
    return helper.make_node("Cast", [given], [wanted], name=f"{wanted}/Cast", to=TensorProto.INT64)


def _rename(part: onnx.GraphProto, ends: Mapping[str, str]) -> None:
    for node in part.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = ends.get(name, name)
