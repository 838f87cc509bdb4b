"""Every precision of every architecture runs, is small, and finds about the same tokens likely."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from causal_lm_miniatures import Exported, configurations, exported, prompts

from olive_build.clients.onnxruntime_client import open_session
from olive_build.methods.steps.dynamic_int8 import QuantizeDynamicInt8
from olive_build.methods.steps.fp16 import ConvertToFp16
from olive_build.methods.steps.stored_int8 import StoreInt8
from olive_build.methods.steps.tables import QuantizeEmbeddings, QuantizeTiedTables
from olive_build.methods.steps.weight_only import QuantizeWeights
from olive_build.proof.generation import CachedModel
from olive_build.steps.fuse import FuseCachedAttention, ShareTiedWeight
from olive_build.steps.model_check import operators

ARCHITECTURES = sorted(set(configurations()) - {"qwen2-window"})
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
    "fused-int8": lambda m: [*shared(m), FuseCachedAttention(m.facts.layers), *int8(m)[-2:]],
}
# Seeded weights tell tokens apart by little: this much of their likeliest stay the same.
AGREE = {"fp16": 0.95, "q8": 0.9, "int8": 0.8, "q4": 0.3, "q4f16": 0.3, "fused-int8": 0.8}


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


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_variant_finds_about_the_same_tokens_likely(name: str, variant: str) -> None:
    ids = np.stack(prompts(8, 24))
    found, wanted = logits(made(name, variant), ids), logits(exported(name).graph, ids)
    assert np.isfinite(found).all()
    agreement = (found.argmax(-1) == wanted.argmax(-1)).mean()
    print(name, variant, f"{agreement:.3f}")
    assert agreement >= AGREE[variant]


@pytest.mark.parametrize("variant", ["fp16", "q8", "q4", "q4f16"])
@pytest.mark.parametrize("name", ["gpt_neo", "gpt2", "opt", "qwen2"])
def test_tied_words_are_stored_once(name: str, variant: str) -> None:
    model, facts = onnx.load(str(made(name, variant))), exported(name).facts
    words = facts.vocabulary
    tables = [t for t in model.graph.initializer if words in t.dims and len(t.raw_data) > 8 * words]
    assert len(tables) == 1
    if variant in ("q4", "q4f16"):
        found = operators(model)
        assert found["com.microsoft::GatherBlockQuantized"] >= 1
        assert not found["Gemm"]


def test_half_precision_is_that_of_the_cache_and_the_logits() -> None:
    session = open_session(made("gpt_neo", "q4f16"))
    types = {v.name: v.type for v in (*session.get_inputs(), *session.get_outputs())}
    assert types["past_key_values.0.key"] == types["present.1.value"] == "tensor(float16)"
    assert types["logits"] == "tensor(float16)" and types["input_ids"] == "tensor(int64)"
