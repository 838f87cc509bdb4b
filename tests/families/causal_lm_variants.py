"""What a variant's steps make of an exported miniature, and what the result says of texts."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from causal_lm_miniatures import Exported, exported

from olive_build.clients.onnxruntime_client import open_session
from olive_build.methods.steps.dynamic_int8 import QuantizeDynamicInt8
from olive_build.methods.steps.fp16 import ConvertToFp16
from olive_build.methods.steps.stored_int8 import StoreInt8
from olive_build.methods.steps.tables import QuantizeEmbeddings, QuantizeTiedTables
from olive_build.methods.steps.weight_only import QuantizeWeights
from olive_build.proof.generation import CachedModel
from olive_build.steps.fuse import FuseCachedAttention, ShareTiedWeight

FP16 = ConvertToFp16(False, (), ())
Steps = list[Any]


def shared(model: Exported) -> Steps:
    return [ShareTiedWeight()] if model.facts.tied else []


def int8(model: Exported) -> Steps:
    quantize = QuantizeDynamicInt8(True, "int8", False, False, None, ())
    return [*shared(model), QuantizeEmbeddings(()), quantize]


def int4(model: Exported) -> Steps:
    tables = [QuantizeTiedTables(4, 32, False, 0, ())] if model.facts.tied else []
    weights = QuantizeWeights("rtn", 4, 32, False, 0, True, None, ())
    return [*shared(model), *tables, weights]


VARIANTS: dict[str, Callable[[Exported], Steps]] = {
    "fp16": lambda model: [*shared(model), FP16],
    "q8": lambda model: [*shared(model), StoreInt8(())],
    "int8": int8,
    "q4": int4,
    "q4f16": lambda model: [*int4(model), FP16],
    "fused-int8": lambda m: [*shared(m), FuseCachedAttention(m.facts.known.layers), *int8(m)[-2:]],
}


@functools.cache
def made(name: str, variant: str) -> Path:
    """Return the graph of an architecture after a variant's steps."""
    model, folder = exported(name), Path(tempfile.mkdtemp(prefix=f"{name}-{variant}-"))
    node = model.graph.parent
    for number, step in enumerate(VARIANTS[variant](model)):
        out = folder / str(number)
        out.mkdir()
        step.run({"model": node}, out)
        node = out
    return node / "model.onnx"


def logits(path: Path, ids: Any) -> Any:
    graph = CachedModel(open_session(path))
    head, past = graph.step(ids[:, :-4], np.ones_like(ids[:, :-4]), None)
    tail, _ = graph.step(ids[:, -4:], np.ones_like(ids), past)
    return np.concatenate([head, tail], 1)
