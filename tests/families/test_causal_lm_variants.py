"""Every precision of every architecture runs, is small, and finds about the same tokens likely."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from causal_lm_miniatures import configurations, exported, prompts
from causal_lm_variants import VARIANTS, logits, made

from olive_build.clients.onnxruntime_client import open_session
from olive_build.steps.model_check import operators

ARCHITECTURES = sorted(set(configurations()) - {"qwen2-window"})
# Seeded weights tell tokens apart by little: this much of their likeliest stay the same.
AGREE = {"fp16": 0.95, "q8": 0.9, "int8": 0.8, "q4": 0.3, "q4f16": 0.3, "fused-int8": 0.8}


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
    words = facts.known.vocabulary
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
