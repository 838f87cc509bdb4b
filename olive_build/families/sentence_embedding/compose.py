"""Text in, embedding out, in one graph: tokenizer + transformer + pooling + normalization.

Pure: takes models, returns a model. Pooling is sentence-transformers' (models/Pooling.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.families.sentence_embedding.spec import SentenceEmbeddingFacts, inspect
from olive_build.families.sentence_embedding.wordpiece import wordpiece_graph
from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.zero_input import zero_input

TEXT = "text"
EMBEDDING = "embedding"
HIDDEN = "last_hidden_state"
SEGMENTS = "token_type_ids"


def tokenizer(folder: Path, opset: int) -> onnx.ModelProto:
    """Return the graph from `text` to the transformer's inputs, cut at the model's length.

    Raises StepError when the tokenizer in `folder` cannot be put into a graph.
    """
    description = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return wordpiece_graph(description, max_length=inspect(folder).max_length, opset=opset)


def part(name: str, folder: Path, opset: int, options: Mapping[str, str]) -> onnx.ModelProto:
    """Return the graph that composing adds: the tokenizer is all. Raises StepError."""
    return tokenizer(folder, opset)


def compose(
    parts: Mapping[str, onnx.ModelProto], folder: Path, options: Mapping[str, str]
) -> onnx.ModelProto:
    """Return one model: `text` [batch_size] to `embedding` (float [batch_size, dimensions]).

    Of the parts, `tokenizer` maps text to token ids, `model` those to last_hidden_state; `folder`
    holds the pooling configuration. Raises StepError when one does not make what the next takes.
    """
    core, before = parts["model"], parts["tokenizer"]
    facts = inspect(folder)
    pooling = _pooling_nodes(facts)
    _check_names(core, before)
    _free_names(core, {TEXT, EMBEDDING})
    # Each text is one segment: the tokenizer's segments are zero throughout.
    zero_input(core, SEGMENTS, like="input_ids")

    graph = helper.make_graph(
        [*before.graph.node, *core.graph.node, *pooling],
        "text_to_embedding",
        list(before.graph.input),
        [
            helper.make_tensor_value_info(
                EMBEDDING, TensorProto.FLOAT, ["batch_size", facts.dimensions]
            )
        ],
        [
            *before.graph.initializer,
            *core.graph.initializer,
            *_pooling_constants(),
        ],
        value_info=[*before.graph.value_info, *core.graph.value_info, *core.graph.output],
    )
    imports = {item.domain: item.version for item in core.opset_import}
    imports.update({item.domain: item.version for item in before.opset_import})
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(d, v) for d, v in sorted(imports.items())],
        ir_version=core.ir_version,
        producer_name="olive_build",
    )
    drop_dead(model)
    return model


def _check_names(core: onnx.ModelProto, tokenizer: onnx.ModelProto) -> None:
    wanted = {value.name for value in core.graph.input}
    made = {value.name for value in tokenizer.graph.output}
    if not wanted <= made:
        raise StepError(
            f"the tokenizer does not make the model's input '{min(wanted - made)}'",
            why=f"it makes {', '.join(sorted(made))}",
            hint="use `compose: none` for this model",
        )
    if HIDDEN not in {value.name for value in core.graph.output}:
        raise StepError(
            f"the model has no output '{HIDDEN}'",
            why=f"its outputs are {', '.join(value.name for value in core.graph.output)}",
        )


def _free_names(core: onnx.ModelProto, reserved: set[str]) -> None:
    """Rename the core's inner values that have the composed graph's names for its own ends."""
    graph = core.graph
    named = (*graph.value_info, *graph.initializer)
    for value in (item for item in named if item.name in reserved):
        value.name = f"{value.name}/inner"
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name in reserved:
                    names[index] = f"{name}/inner"


def _pooling_constants() -> list[onnx.TensorProto]:
    constants: dict[str, np.ndarray[Any, Any]] = {
        "pooling/tokens_axis": np.array([1], np.int64),
        "pooling/last_axis": np.array([2], np.int64),
        "pooling/smallest_count": np.array(1e-9, np.float32),
        "pooling/smallest_norm": np.array(1e-12, np.float32),
        "pooling/padding": np.array(-np.inf, np.float32),
        "pooling/first": np.array(0, np.int64),
    }
    return [numpy_helper.from_array(value, name) for name, value in constants.items()]


def _pooling_nodes(facts: SentenceEmbeddingFacts) -> list[onnx.NodeProto]:
    pooled = "pooling/pooled" if facts.normalize else EMBEDDING
    nodes = {"mean": _mean, "max": _max, "cls": _first}[facts.pooling](pooled)
    if facts.normalize:
        nodes += [
            _node("ReduceL2", [pooled, "pooling/tokens_axis"], "norm", keepdims=1),
            _node("Max", ["pooling/norm", "pooling/smallest_norm"], "safe_norm"),
            helper.make_node(
                "Div", [pooled, "pooling/safe_norm"], [EMBEDDING], name="pooling/normalize"
            ),
        ]
    return nodes


def _node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    name = f"pooling/{output}"
    return helper.make_node(op, inputs, [name], name=name, **attributes)


def _mean(output: str) -> list[onnx.NodeProto]:
    return [
        _node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT),
        _node("Unsqueeze", ["pooling/mask", "pooling/last_axis"], "weights"),
        _node("Mul", [HIDDEN, "pooling/weights"], "weighted"),
        _node("ReduceSum", ["pooling/weighted", "pooling/tokens_axis"], "sum", keepdims=0),
        _node("ReduceSum", ["pooling/weights", "pooling/tokens_axis"], "count", keepdims=0),
        _node("Max", ["pooling/count", "pooling/smallest_count"], "safe_count"),
        helper.make_node(
            "Div", ["pooling/sum", "pooling/safe_count"], [output], name="pooling/mean"
        ),
    ]


def _max(output: str) -> list[onnx.NodeProto]:
    return [
        _node("Cast", ["attention_mask"], "is_token", to=TensorProto.BOOL),
        _node("Unsqueeze", ["pooling/is_token", "pooling/last_axis"], "keep"),
        _node("Where", ["pooling/keep", HIDDEN, "pooling/padding"], "tokens_only"),
        helper.make_node(
            "ReduceMax",
            ["pooling/tokens_only", "pooling/tokens_axis"],
            [output],
            name="pooling/max",
            keepdims=0,
        ),
    ]


def _first(output: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Gather", [HIDDEN, "pooling/first"], [output], name="pooling/cls", axis=1)
    ]
