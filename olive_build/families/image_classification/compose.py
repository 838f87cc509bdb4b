"""Image in, class scores out, in one graph: rescale, normalize, network, softmax.

Pure: takes models, returns a model. Images are prepared as transformers does (image_transforms.py).
Decoding and resizing are the application's: every platform has its own, and they differ by more
than a model should depend on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.families.image_classification.spec import ImageClassificationFacts, inspect
from olive_build.proof.classification_reference import IMAGE, LOGITS, PIXEL_VALUES

PROBABILITIES = "probabilities"


def compose(
    parts: Mapping[str, onnx.ModelProto], folder: Path, options: Mapping[str, str]
) -> onnx.ModelProto:
    """Return one model: `image` uint8 [batch_size, height, width, channels] to class scores.

    Outputs are `logits` and `probabilities`, float [batch_size, classes]. The part `model` maps
    pixel_values to logits in fp32. Raises StepError when it takes or gives something else.
    """
    core = parts["model"]
    facts = inspect(folder)
    _check_ends(core)
    _free_names(core, {IMAGE, PROBABILITIES})
    batch = core.graph.input[0].type.tensor_type.shape.dim[0]
    first: str | int = batch.dim_param or batch.dim_value
    graph = helper.make_graph(
        [*_preparing(), *core.graph.node, _softmax()],
        "image_to_class",
        [
            helper.make_tensor_value_info(
                IMAGE, TensorProto.UINT8, [first, facts.height, facts.width, facts.channels]
            )
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [first, len(facts.labels)])
            for name in (LOGITS, PROBABILITIES)
        ],
        [*core.graph.initializer, *_constants(facts)],
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


def _free_names(core: onnx.ModelProto, reserved: set[str]) -> None:
    """Rename the core's inner values that have the composed graph's names for its own ends."""
    graph = core.graph
    for value in (*graph.value_info, *graph.initializer):
        if value.name in reserved:
            value.name = f"{value.name}/inner"
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name in reserved:
                    names[index] = f"{name}/inner"


def _preparing() -> list[onnx.NodeProto]:
    return [
        helper.make_node(operator, inputs, [output], name=f"preparing/{operator}", **attributes)
        for operator, inputs, output, attributes in (
            ("Cast", [IMAGE], "preparing/bytes", {"to": TensorProto.FLOAT}),
            ("Mul", ["preparing/bytes", "preparing/rescale"], "preparing/scaled", {}),
            ("Sub", ["preparing/scaled", "preparing/mean"], "preparing/centred", {}),
            ("Div", ["preparing/centred", "preparing/std"], "preparing/normal", {}),
            ("Transpose", ["preparing/normal"], PIXEL_VALUES, {"perm": [0, 3, 1, 2]}),
        )
    ]


def _softmax() -> onnx.NodeProto:
    return helper.make_node("Softmax", [LOGITS], [PROBABILITIES], name=PROBABILITIES, axis=-1)


def _constants(facts: ImageClassificationFacts) -> list[onnx.TensorProto]:
    return [
        numpy_helper.from_array(np.array(value, np.float32), f"preparing/{name}")
        for name, value in (("rescale", facts.rescale), ("mean", facts.mean), ("std", facts.std))
    ]
