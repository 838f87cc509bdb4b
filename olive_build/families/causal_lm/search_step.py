"""One step of the model as the subgraph of ONNX Runtime's search operators.

What they ask of it is in onnxruntime/contrib_ops/cpu/transformers/subgraph_gpt.cc of
microsoft/onnxruntime: int32 input_ids, position_ids and attention_mask, and past_N of 5 axes with a
layer's keys and values in one; logits, and present_N in the order of past_N. Only past_0's sizes
are looked at, and a present_N of any size comes back as past_N, its rows in the order of the beams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from olive_build.families.causal_lm.names import (
    ATTENTION_MASK,
    BATCH,
    INPUT_IDS,
    LOGITS,
    PAST,
    POSITION_IDS,
    SEQUENCE,
    TOTAL,
    past_names,
    present_names,
)
from olive_build.families.causal_lm.search_scores import ENDLESS, NextToken, Seen, write_scores
from olive_build.families.causal_lm.sizes import Sizes
from olive_build.families.graph_writer import GraphWriter, tensor_info
from olive_build.rewrites.shared_tensors import prefix_names

STEP = "step/"


@dataclass(frozen=True)
class Around:
    """What the subgraph reads from the graph round it, int64.

    `mask` is the prompts' [rows, length], `length` and `max_length` [1] count tokens.
    """

    mask: str
    length: str
    max_length: str


def step_graph(
    graph: onnx.GraphProto, sizes: Sizes, choice: NextToken, around: Around
) -> onnx.GraphProto:
    """Return the subgraph; `graph`, the model's step, is used up."""
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    prefix_names(graph, STEP)
    before, after = GraphWriter("before"), GraphWriter("after")
    seen = _inputs(before, sizes, choice, around)
    layers = range(sizes.layers)
    for layer in layers:
        names = past_names(sizes.layers)[2 * layer : 2 * layer + 2]
        _parted(before, f"past_{layer}", names, kinds)
        names = present_names(sizes.layers)[2 * layer : 2 * layer + 2]
        _joined(after, names, f"present_{layer}")
    logits = after.cast(f"{STEP}{LOGITS}", TensorProto.FLOAT, "float")
    after.output("Identity", [write_scores(after, logits, seen, choice)], LOGITS)
    caches = [f"past_{layer}" for layer in layers], [f"present_{layer}" for layer in layers]
    if choice.penalizes:
        _keep_tokens(after, seen.tokens, f"present_{sizes.layers}")
    inputs, outputs = _ends(sizes, choice, *caches)
    return helper.make_graph(
        [*before.nodes, *graph.node, *after.nodes],
        "step",
        inputs,
        outputs,
        [*graph.initializer, *before.constants.values(), *after.constants.values()],
        # The types of what is read from around it: onnxruntime 1.24 and earlier ask for them.
        value_info=[
            *graph.value_info,
            tensor_info(around.mask, TensorProto.INT64, [BATCH, SEQUENCE]),
            tensor_info(around.length, TensorProto.INT64, [1]),
            tensor_info(around.max_length, TensorProto.INT64, [1]),
        ],
    )


def _ends(
    sizes: Sizes, choice: NextToken, past: Sequence[str], present: Sequence[str]
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    heads, of_head = sizes.caches[0]
    size: list[str | int] = [2, BATCH, heads, PAST, of_head]
    longer = [*size[:3], TOTAL, of_head]
    inputs = [
        tensor_info(INPUT_IDS, TensorProto.INT32, [BATCH, SEQUENCE]),
        tensor_info(POSITION_IDS, TensorProto.INT32, [BATCH, SEQUENCE]),
        tensor_info(ATTENTION_MASK, TensorProto.INT32, [BATCH, TOTAL]),
        *(tensor_info(name, TensorProto.FLOAT, size) for name in past),
    ]
    outputs = [
        tensor_info(LOGITS, TensorProto.FLOAT, [BATCH, 1, choice.columns]),
        *(tensor_info(name, TensorProto.FLOAT, longer) for name in present),
    ]
    if choice.penalizes:
        # At first as empty as the other caches and as large, then one number a token.
        first: list[str | int] = [2, BATCH, "token_heads", PAST, "token_size"]
        inputs.append(tensor_info(f"past_{sizes.layers}", TensorProto.FLOAT, first))
        tokens: list[str | int] = [2, BATCH, 1, TOTAL, 1]
        outputs.append(tensor_info(f"present_{sizes.layers}", TensorProto.FLOAT, tokens))
    return inputs, outputs


def _inputs(nodes: GraphWriter, sizes: Sizes, choice: NextToken, around: Around) -> Seen:
    """Append what makes the model's inputs of the operators'.

    Of the operators' mask [rows, tokens so far] only the part behind the prompt is read, which is
    ones. A position is the number of tokens before it that are no padding.
    """
    zero, one = nodes.constant("zero", 0), nodes.constant("one", 1)
    last = nodes.constant("endless", [ENDLESS])
    given = nodes.output("Cast", [INPUT_IDS], f"{STEP}{INPUT_IDS}", to=TensorProto.INT64)
    new = nodes.columns(ATTENTION_MASK, around.length, last, "mask/new")
    ones = nodes.cast(new, TensorProto.INT64, "mask/ones")
    mask = nodes.output("Concat", [around.mask, ones], f"{STEP}{ATTENTION_MASK}", axis=1)
    counts = nodes.add("CumSum", [mask, one], "counts")
    positions = nodes.add("Max", [nodes.add("Sub", [counts, one], "from_0"), zero], "positions")
    here = nodes.add("Neg", [nodes.add("Shape", [given], "here", start=1, end=2)], "start")
    nodes.output("Slice", [positions, here, last, nodes.number(1)], f"{STEP}{POSITION_IDS}")
    tokens = _tokens(nodes, given, f"past_{sizes.layers}") if choice.penalizes else given
    total = nodes.add("Shape", [mask], "total", start=1, end=2)
    return Seen(tokens, counts, total, around.length, around.max_length)


def _tokens(nodes: GraphWriter, given: str, past: str) -> str:
    """Return all tokens so far, int64 [rows, tokens]: those that came with the caches, and these.

    Numbers up to 2^24 are exact in float32, which caches are of.
    """
    starts, stops = nodes.constant("tokens/starts", [0] * 3), nodes.constant("tokens/ends", [1] * 3)
    axes = nodes.constant("tokens/axes", [0, 2, 4])
    one = nodes.add("Slice", [past, starts, stops, axes], "tokens/one")
    row = nodes.add("Squeeze", [one, axes], "tokens/row")
    before = nodes.cast(row, TensorProto.INT64, "tokens/before")
    return nodes.add("Concat", [before, given], "tokens", axis=1)


def _keep_tokens(nodes: GraphWriter, tokens: str, present: str) -> None:
    numbers = nodes.cast(tokens, TensorProto.FLOAT, "tokens/numbers")
    axes = nodes.constant("tokens/axes", [0, 2, 4])
    layer = nodes.add("Unsqueeze", [numbers, axes], "tokens/layer")
    nodes.output("Concat", [layer, layer], present, axis=0)


def _parted(nodes: GraphWriter, past: str, names: Sequence[str], kinds: Mapping[str, int]) -> None:
    """Append what takes a layer's keys and values out of one tensor [2, batch, ...]."""
    for index, name in enumerate(names):
        half = nodes.add(
            "Gather", [past, nodes.constant(f"half_{index}", index)], f"{past}/{index}"
        )
        nodes.output("Cast", [half], f"{STEP}{name}", to=kinds[name])


def _joined(nodes: GraphWriter, names: Sequence[str], present: str) -> None:
    """Append what puts a layer's keys and values into one tensor [2, batch, ...]."""
    halves = []
    for index, name in enumerate(names):
        number = nodes.cast(f"{STEP}{name}", TensorProto.FLOAT, f"{present}/float_{index}")
        halves.append(nodes.add("Unsqueeze", [number, nodes.number(0)], f"{present}/{index}"))
    nodes.output("Concat", halves, present, axis=0)
