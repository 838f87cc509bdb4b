"""Image in, class scores out, in one graph: resize, crop, normalize, network, scores.

Pure: takes models, returns a model. Images are prepared as the model's image processor does in
transformers. Decoding is the application's: every platform has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from olive_build.errors import StepError
from olive_build.families.graph_writer import free_names, tensor_info
from olive_build.families.image_classification.preparing import image_axes, preparing
from olive_build.families.image_classification.spec import inspect
from olive_build.proof.classification import NONE, SIGMOID, SOFTMAX
from olive_build.proof.references.classification import (
    IMAGE,
    LOGITS,
    PIXEL_VALUES,
    PROBABILITIES,
)

ANSWERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    SOFTMAX: ("Softmax", {"axis": -1}),
    SIGMOID: ("Sigmoid", {}),
    NONE: ("Identity", {}),
}


def compose(
    parts: Mapping[str, onnx.ModelProto], folder: Path, options: Mapping[str, str]
) -> onnx.ModelProto:
    """Return one model: `image` uint8 [batch_size, height, width, channels] to class scores.

    Height and width are any where the model's processor makes one size of all. Outputs are `logits`
    and `probabilities`, float [batch_size, classes]. The part `model` maps pixel_values to logits
    in fp32. Raises StepError when it takes or gives something else.
    """
    core = parts["model"]
    facts = inspect(folder)
    _check_ends(core)
    free_names(core, {IMAGE, PROBABILITIES})
    batch = core.graph.input[0].type.tensor_type.shape.dim[0]
    first: str | int = batch.dim_param or batch.dim_value
    nodes = preparing(facts.prepared)
    graph = helper.make_graph(
        [*nodes.nodes, *core.graph.node, _answer(facts.scores)],
        "image_to_class",
        [tensor_info(IMAGE, TensorProto.UINT8, image_axes(facts.prepared, first))],
        [
            tensor_info(name, TensorProto.FLOAT, [first, len(facts.labels)])
            for name in (LOGITS, PROBABILITIES)
        ],
        [*core.graph.initializer, *nodes.constants.values()],
        value_info=[*core.graph.value_info, *core.graph.input],
    )
    return helper.make_model(
        graph,
        opset_imports=list(core.opset_import),
        ir_version=core.ir_version,
        producer_name="olive_build",
    )


def _check_ends(core: onnx.ModelProto) -> None:
    for value, name in ((core.graph.input, PIXEL_VALUES), (core.graph.output, LOGITS)):
        kinds = {item.name: item.type.tensor_type.elem_type for item in value}
        if kinds != {name: TensorProto.FLOAT}:
            described = ", ".join(
                f"{end} {TensorProto.DataType.Name(kind).lower()}" for end, kind in kinds.items()
            )
            raise StepError(
                f"the model's ends cannot be composed: '{name}' in fp32 is expected",
                why=f"it has {described}",
                hint="use `compose: none`, or leave `keep_io_types` on",
            )


def _answer(scores: str) -> onnx.NodeProto:
    """Return the node that makes PROBABILITIES of LOGITS."""
    operator, attributes = ANSWERS[scores]
    return helper.make_node(operator, [LOGITS], [PROBABILITIES], name=PROBABILITIES, **attributes)
