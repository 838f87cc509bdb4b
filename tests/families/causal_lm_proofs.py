"""What is asked of every architecture that the general road builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
import transformers
from causal_lm_miniatures import Exported, exported, generate, loaded, prompts
from causal_lm_variants import VARIANTS, logits, made

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.errors import StepError
from olive_build.families.causal_lm.torch_side import probe
from olive_build.proof.generation import Decoding, Ends, continued, until_end
from olive_build.rewrites.clean import save_clean
from olive_build.rewrites.fuse_cached_attention import fuse_cached_attention

# Rows, tokens of a step, tokens before it. The first row of several is padded on its left.
SIZES = ((1, 6, 0), (3, 7, 0), (1, 12, 3), (2, 4, 9), (3, 1, 21))
# More than the window of a sliding layer and than any size that was traced.
NEW = 24
# Relative to the largest logit: sums in another order.
CLOSE = 1e-5
# Whose attention has a pattern that `fuse_cached_attention` does not know, and what is told of it.
NOT_FUSED = {
    "bloom": "its products are not queries by keys",
    "codegen": "no mask is added to its scores",
    "falcon": "its products are not queries by keys",
    "gemma2": "its products are not queries by keys",
    "gptj": "its products are not queries by keys",
    "vaultgemma": "its products are not queries by keys",
}

# Whose scores are scaled when the mask is in them already: half precision has no room for it.
NO_HALF = ("codegen",)


def check_spread(name: str) -> None:
    """Assert that what the model says hangs on what it is given: or all that follows is empty."""
    model, ids = loaded(exported(name).folder), torch.from_numpy(np.stack(prompts(2, 12)))
    with torch.inference_mode():
        found = model(ids).logits[:, -1]
        other = ids.clone()
        other[:, -2] = (other[:, -2] + 1) % 300 + 2
        moved = (model(other).logits[:, -1] - found).abs().max()
    assert found.std() > 0.05 and moved > 0.05 * found.abs().max(), (found.std(), moved)


def check_steps(name: str, graph: Path | None = None) -> None:
    """Assert that a graph gives PyTorch's logits and caches where tokens are no padding."""
    model, session = exported(name), open_session(graph or exported(name).graph)
    for sizes in SIZES:
        feeds = probe(model.facts.known, *sizes)
        expected, actual = _in_pytorch(name, feeds), run_named(session, feeds)
        seen = feeds["attention_mask"].astype(bool)
        for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert one.shape == other.shape and np.isfinite(one).all()
            visible = one[seen[:, -sizes[1] :]] if not index else one.transpose(0, 2, 1, 3)[seen]
            wanted = other[seen[:, -sizes[1] :]] if not index else other.transpose(0, 2, 1, 3)[seen]
            assert np.abs(visible - wanted).max() <= CLOSE * max(np.abs(wanted).max(), 1), sizes


def _in_pytorch(name: str, feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    tensors = {key: torch.from_numpy(value) for key, value in feeds.items()}
    past = [value for key, value in tensors.items() if key.startswith("past")]
    tokens = {key: value for key, value in tensors.items() if not key.startswith("past")}
    cache = transformers.DynamicCache()
    for layer, pair in enumerate(zip(past[::2], past[1::2], strict=True)):
        cache.update(*pair, layer)
    with torch.inference_mode():
        model = loaded(exported(name).folder)
        found = model(**tokens, past_key_values=cache, use_cache=True)
    kept = [each for layer in cache.layers for each in (layer.keys, layer.values)]
    return [value.numpy() for value in (found.logits, *kept)]


def check_texts(name: str) -> None:
    """Assert that the graph writes what generate does, alone and in batches padded on the left."""
    model = exported(name)
    rows = prompts(3, 12)
    written: set[int] = set()
    for batch in ([rows[0]], [rows[1][:5], rows[2]], [rows[0][:3], rows[1][:9], rows[2]]):
        ours, theirs = _both(model, batch)
        assert ours == theirs
        written.update(*ours)
    assert len(written) > 15, "a model that writes the same token always would prove nothing"


def _both(model: Exported, rows: list[Any]) -> tuple[Any, Any]:
    facts = model.facts
    ends = Ends(facts.eos, facts.eos[0] if facts.pad is None else facts.pad)
    ours = continued(model.session, rows, Decoding(NEW), ends)
    theirs = generate(model.folder, rows, max_new_tokens=NEW)
    return ours, tuple(until_end(row, ends) for row in theirs)


def check_fused(name: str, folder: Path) -> None:
    """Assert that each attention is one operator and computes the same, or that it is told why."""
    graph = onnx.load(str(exported(name).graph))
    result = fuse_cached_attention(graph)
    layers = exported(name).facts.known.layers
    if name in NOT_FUSED:
        told = [reason for reason in result.declined if NOT_FUSED[name] in reason]
        assert not result.count and len(told) == layers
        return
    assert result.count == layers
    fused = folder / f"{name}-fused.onnx"
    save_clean(graph, fused)
    check_steps(name, fused)


def check_variants(name: str) -> None:
    """Assert that every precision runs, or is refused with a reason; of quality this is no word."""
    ids = np.stack(prompts(4, 24))
    wanted = logits(exported(name).graph, ids)
    for variant in VARIANTS:
        if name in NO_HALF and variant.endswith("16"):
            with pytest.raises(StepError, match="fp16 cannot hold what"):
                made(name, variant)
            continue
        found = logits(made(name, variant), ids)
        assert np.isfinite(found).all(), variant
        agreement = (found.argmax(-1) == wanted.argmax(-1)).mean()
        print(name, variant, f"{agreement:.3f}")
        assert (found != wanted).any(), variant
