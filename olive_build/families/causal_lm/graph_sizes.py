"""The sizes of a language model's step as its ONNX graph has them."""

from __future__ import annotations

import onnx

from olive_build.families.causal_lm.names import LOGITS, POSITION_IDS, past_names
from olive_build.families.causal_lm.sizes import Heads, Sizes


def sizes_of_graph(graph: onnx.GraphProto) -> Sizes:
    """Return what goes in as a cache and comes out as scores; all but lengths are numbers there."""
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.input}
    (logits,) = (value for value in graph.output if value.name == LOGITS)
    layers = sum(name in shapes for name in past_names(len(shapes))[::2])
    caches: list[Heads] = [
        (shapes[name][1].dim_value, shapes[name][3].dim_value) for name in past_names(layers)
    ]
    return Sizes(
        keys=tuple(caches[::2]),
        values=tuple(caches[1::2]),
        vocabulary=logits.type.tensor_type.shape.dim[2].dim_value,
        positions=POSITION_IDS in shapes,
    )
