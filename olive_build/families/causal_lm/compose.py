"""A causal language model into one file that searches: token ids in, token ids out.

The tokenizer stays outside: what stands before and behind is the application's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from olive_build.families.causal_lm.generation import decoding
from olive_build.families.causal_lm.promise import check_search
from olive_build.families.causal_lm.search import DOMAIN, search_graph
from olive_build.families.causal_lm.spec import inspect
from olive_build.families.graph_writer import imports_of, model_of

MODEL = "model"


def compose(
    parts: Mapping[str, onnx.ModelProto], folder: Path, options: Mapping[str, str]
) -> onnx.ModelProto:
    """Return one model from prompts to `sequences`, int64 [batch_size, generated_length].

    Its inputs are `input_ids` and `attention_mask`, int64 [batch_size, sequence_length], padded on
    the left, and `max_new_tokens`, int64 [1]. `options` are what the recipe says of generation.
    Raises PlanError for what ONNX Runtime's operators do otherwise than generate.
    """
    facts, chosen = inspect(folder), decoding(folder, options)
    check_search(facts, chosen, folder)
    step = parts[MODEL]
    imports = {DOMAIN: 1} | imports_of(step)
    graph = search_graph(step, facts, chosen)
    return model_of(graph, dict(sorted(imports.items())), step.ir_version)
