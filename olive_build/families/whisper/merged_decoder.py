"""Both steps of the decoder in one file that chooses by `use_cache_branch`, for transformers.js.

Each branch is a graph of its own; what both store is stored once, around them. The client fills the
first, empty caches from the axes of the inputs, whose symbols but `batch_size` become 0.

The layout: decoder_model_merged.onnx as huggingface/transformers.js 4.3 loads it (src/models/
session.js and modeling_utils.js there).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.families.graph_writer import imports_of, model_of, tensor_info
from olive_build.families.whisper.spec import (
    DECODER,
    DECODER_WITH_PAST,
    ENCODER_STATES,
    INPUT_IDS,
    LOGITS,
    WhisperFacts,
    past_names,
    present_names,
)
from olive_build.rewrites.shared_tensors import prefix_names, share_tensors

CHOICE = "use_cache_branch"
BATCH = "batch_size"


def merged_decoder(parts: Mapping[str, onnx.ModelProto], facts: WhisperFacts) -> onnx.ModelProto:
    """Return one model of the two steps. `parts` are used up.

    With `use_cache_branch` (bool [1]) false, the caches that it is given are not read; with true,
    `encoder_hidden_states` is not, and the caches of the audio come out empty: they stay the same,
    and the client keeps those that it has.
    """
    first, later = parts[DECODER].graph, parts[DECODER_WITH_PAST].graph
    kind = first.output[0].type.tensor_type.elem_type
    inputs = _inputs(facts, kind)
    outputs = _outputs(facts, kind)
    names = [value.name for value in inputs]
    prefix_names(first, "first/", keep=names)
    prefix_names(later, "later/", keep=names)
    tensors = share_tensors([first, later])
    node = helper.make_node(
        "If",
        [CHOICE],
        [value.name for value in outputs],
        name="step/If",
        then_branch=_branch(later, _unchanged(facts, kind)),
        else_branch=_branch(first, ([], [], [])),
    )
    graph = helper.make_graph([node], "decoder", inputs, outputs, tensors)
    imports = imports_of(parts[DECODER], parts[DECODER_WITH_PAST])
    return model_of(graph, imports, max(model.ir_version for model in parts.values()))


Extra = tuple[list[onnx.NodeProto], list[onnx.TensorProto], list[onnx.ValueInfoProto]]


def _branch(part: onnx.GraphProto, extra: Extra) -> onnx.GraphProto:
    nodes, tensors, outputs = extra
    return helper.make_graph(
        [*part.node, *nodes],
        part.output[0].name.partition("/")[0],
        [],
        [*part.output, *outputs],
        [*part.initializer, *tensors],
        value_info=part.value_info,
    )


def _unchanged(facts: WhisperFacts, kind: int) -> Extra:
    """Return nodes that give empty caches of the audio, in the branch that keeps them."""
    shape = (1, facts.decoder_heads, 0, facts.dimensions // facts.decoder_heads)
    empty = numpy_helper.from_array(
        np.zeros(shape, helper.tensor_dtype_to_np_dtype(kind)), "later/unchanged"
    )
    names = [f"later/{name}" for name in present_names(facts, "encoder")]
    nodes = [helper.make_node("Identity", [empty.name], [name], name=name) for name in names]
    return nodes, [empty], [tensor_info(name, kind, list(shape)) for name in names]


def _inputs(facts: WhisperFacts, kind: int) -> list[onnx.ValueInfoProto]:
    size = facts.dimensions // facts.decoder_heads
    own: list[str | int] = [BATCH, facts.decoder_heads, "past_decoder_sequence_length", size]
    cross: list[str | int] = [BATCH, facts.decoder_heads, "encoder_sequence_length_out", size]
    states: list[str | int] = [BATCH, "encoder_sequence_length", facts.dimensions]
    return [
        tensor_info(INPUT_IDS, TensorProto.INT64, [BATCH, "decoder_sequence_length"]),
        tensor_info(ENCODER_STATES, kind, states),
        *(tensor_info(name, kind, own) for name in past_names(facts, "decoder")),
        *(tensor_info(name, kind, cross) for name in past_names(facts, "encoder")),
        tensor_info(CHOICE, TensorProto.BOOL, [1]),
    ]


def _outputs(facts: WhisperFacts, kind: int) -> list[onnx.ValueInfoProto]:
    size = facts.dimensions // facts.decoder_heads
    own: list[str | int] = [BATCH, facts.decoder_heads, "total_decoder_sequence_length", size]
    cross: list[str | int] = [BATCH, facts.decoder_heads, "encoder_sequence_length_out", size]
    return [
        tensor_info(LOGITS, kind, [BATCH, "decoder_sequence_length", facts.vocabulary]),
        *(tensor_info(name, kind, own) for name in present_names(facts, "decoder")),
        *(tensor_info(name, kind, cross) for name in present_names(facts, "encoder")),
    ]
