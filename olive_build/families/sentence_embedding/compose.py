"""Text in, embedding out, in one graph: tokenizer + transformer + what follows it.

Pure: takes models, returns a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from olive_build.errors import StepError
from olive_build.families.graph_writer import (
    GraphWriter,
    free_names,
    imports_of,
    model_of,
    tensor_info,
)
from olive_build.families.library_tokenizer import library_tokenizer
from olive_build.families.sentence_embedding.after import PREFIX, write_after
from olive_build.families.sentence_embedding.spec import (
    EMBEDDING_OUTPUT,
    SentenceEmbeddingFacts,
    inspect,
)
from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.zero_input import zero_input
from olive_build.tokenizers.graph import tokenizer_graph

TEXT = "text"
EMBEDDING = "embedding"
HIDDEN = "last_hidden_state"
MASK = "attention_mask"
SEGMENTS = "token_type_ids"


def tokenizer(folder: Path, opset: int) -> onnx.ModelProto:
    """Return the graph from `text` to the transformer's inputs, cut at the model's length.

    Raises StepError when the tokenizer in `folder` cannot be put into a graph.
    """
    facts = inspect(folder)
    description = json.loads(library_tokenizer(folder, facts.tokenizer).to_str())
    settings = facts.settings
    return tokenizer_graph(
        description, max_length=settings.max_length, opset=opset, prompt=settings.prompt
    )


def part(name: str, folder: Path, opset: int, options: Mapping[str, str]) -> onnx.ModelProto:
    """Return the graph that composing adds: the tokenizer is all. Raises StepError."""
    return tokenizer(folder, opset)


def compose(
    parts: Mapping[str, onnx.ModelProto], folder: Path, options: Mapping[str, str]
) -> onnx.ModelProto:
    """Return one model: `text` [batch_size] to `embedding` (float [batch_size, dimensions]).

    Of the parts, `tokenizer` maps text to token ids, `model` those to last_hidden_state; `folder`
    holds what follows. Raises StepError when one does not make what the next takes.
    """
    core, before = parts["model"], parts["tokenizer"]
    _check_names(core, before)
    free_names(core, {TEXT, EMBEDDING})
    # Each text is one segment: the tokenizer's segments are zero throughout.
    zero_input(core, SEGMENTS, like="input_ids")
    model = _embedding_model(core, folder, before, EMBEDDING)
    drop_dead(model)
    return model


def with_embedding(core: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the model with the output `sentence_embedding` [batch_size, dimensions] too.

    Its inputs are the transformer's: for clients that know pooling and normalizing, and not what
    follows this transformer. last_hidden_state stays, which transformers.js looks for.
    """
    _check_hidden(core)
    free_names(core, {EMBEDDING_OUTPUT})
    return _embedding_model(core, folder, None, EMBEDDING_OUTPUT)


def _embedding_model(
    core: onnx.ModelProto, folder: Path, before: onnx.ModelProto | None, output: str
) -> onnx.ModelProto:
    """Return the transformer with what follows it, and with the tokenizer `before` where given."""
    facts, writer = inspect(folder), GraphWriter(PREFIX)
    embedding = write_after(
        writer,
        facts.modules,
        folder,
        HIDDEN,
        MASK,
        prompt_tokens=_prompt_tokens(folder, facts),
        truncate=facts.settings.truncate_dim,
    )
    writer.output("Identity", [embedding], output)
    first = before or onnx.ModelProto()
    batch = core.graph.output[0].type.tensor_type.shape.dim[0]
    size = (batch.dim_param or batch.dim_value) if before is None else "batch_size"
    shape = [size, facts.dimensions]
    graph = helper.make_graph(
        [*first.graph.node, *core.graph.node, *writer.nodes],
        "text_to_embedding" if before else core.graph.name,
        list((before or core).graph.input),
        [
            *([] if before else core.graph.output),
            tensor_info(output, TensorProto.FLOAT, shape),
        ],
        [*first.graph.initializer, *core.graph.initializer, *writer.constants.values()],
        value_info=[
            *first.graph.value_info,
            *core.graph.value_info,
            *(core.graph.output if before else ()),
        ],
    )
    return model_of(graph, imports_of(core, first), core.ir_version)


def _prompt_tokens(folder: Path, facts: SentenceEmbeddingFacts) -> int:
    """Return how many tokens of a text are the prompt's, without a special one after it.

    As sentence-transformers counts them (base/modules/transformer.py, _get_prompt_length).
    """
    if not facts.settings.prompt:
        return 0
    made = library_tokenizer(folder, facts.tokenizer)
    encoded = made.encode(facts.settings.prompt)
    return len(encoded.ids) - int(encoded.special_tokens_mask[-1])


def _check_names(core: onnx.ModelProto, tokenizer: onnx.ModelProto) -> None:
    wanted = {value.name for value in core.graph.input}
    made = {value.name for value in tokenizer.graph.output}
    if not wanted <= made:
        raise StepError(
            f"the tokenizer does not make the model's input '{min(wanted - made)}'",
            why=f"it makes {', '.join(sorted(made))}",
            hint="use `compose: none` for this model",
        )
    _check_hidden(core)


def _check_hidden(core: onnx.ModelProto) -> None:
    if HIDDEN not in {value.name for value in core.graph.output}:
        raise StepError(
            f"the model has no output '{HIDDEN}'",
            why=f"its outputs are {', '.join(value.name for value in core.graph.output)}",
        )
