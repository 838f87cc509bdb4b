"""One attention operator a layer computes what the plain graph does, for every architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from causal_lm_miniatures import configurations, exported

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.errors import StepError
from olive_build.families.causal_lm.torch_side import probe
from olive_build.rewrites.clean import save_clean
from olive_build.rewrites.fuse_cached_attention import fuse_cached_attention
from olive_build.steps.fuse import FuseCachedAttention
from olive_build.steps.model_check import operators
from olive_build.steps.notes import notes_in

# Rows, tokens of a step, tokens before it.
SIZES = ((1, 6, 0), (1, 1, 7), (3, 4, 9), (2, 1, 20))
JOINED = {"gpt_neo": True, "gpt2": True, "opt": True, "llama": False, "qwen2": False}


def outputs(path: Path, feeds: dict[str, Any]) -> list[npt.NDArray[Any]]:
    return run_named(open_session(path), feeds)


@pytest.mark.parametrize("name", sorted(configurations()))
def test_fused_is_plain(name: str, tmp_path: Path) -> None:
    model = exported(name)
    graph = onnx.load(str(model.graph))
    result = fuse_cached_attention(graph)
    assert result.count == model.facts.known.layers and not result.declined
    found = operators(graph)
    assert found["com.microsoft::MultiHeadAttention"] == model.facts.known.layers
    assert "Softmax" not in found
    fused = tmp_path / "fused.onnx"
    save_clean(graph, fused)
    for sizes in SIZES:
        feeds = probe(model.facts.known, *sizes)
        plain = outputs(model.graph, feeds)
        for one, other in zip(outputs(fused, feeds), plain, strict=True):
            assert np.isfinite(one).all()
            np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("name", sorted(JOINED))
def test_the_operator_joins_the_cache_where_keys_are_only_projected(name: str) -> None:
    graph = onnx.load(str(exported(name).graph))
    fuse_cached_attention(graph)
    attention = next(node for node in graph.graph.node if node.op_type == "MultiHeadAttention")
    joined = [name for name in attention.input if name.startswith("past_key_values")]
    assert bool(joined) == JOINED[name]


def with_an_unknown_layer(folder: Path) -> Path:
    """Return a folder with a graph of which one layer's attention has a pattern that none knows."""
    graph = onnx.load(str(exported("gpt_neo").graph))
    for node in graph.graph.node:
        if node.op_type == "Softmax":
            node.op_type = "LogSoftmax"
            break
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    onnx.save(graph, str(folder / "in" / "model.onnx"))
    return folder


def test_an_unknown_attention_leaves_the_graph_and_is_told(tmp_path: Path) -> None:
    folder = with_an_unknown_layer(tmp_path)
    FuseCachedAttention(2).run({"model": folder / "in"}, folder / "out")
    told = notes_in(folder / "out")
    assert told[0].startswith("left out: attention can be fused in 1 of 2 layers (")
    found = operators(onnx.load(str(folder / "out" / "model.onnx")))
    assert "com.microsoft::MultiHeadAttention" not in found and found["LogSoftmax"] == 1


def test_an_unknown_attention_fails_where_the_recipe_asks_for_it(tmp_path: Path) -> None:
    folder = with_an_unknown_layer(tmp_path)
    with pytest.raises(StepError, match="fused in 1 of 2 layers") as caught:
        FuseCachedAttention(2, asked=True).run({"model": folder / "in"}, folder / "out")
    assert "attention: plain" in str(caught.value.hint)
