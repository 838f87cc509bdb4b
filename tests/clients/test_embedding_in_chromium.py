"""The client of sentence embeddings in a browser: the real MiniLM, as Python runs the same file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from olive_build.clients.client_packages import clients_folder, find_chromium
from olive_build.clients.javascript_client import ChromiumClient, Client, NodeClient, Request
from olive_build.clients.onnxruntime_client import open_session, run_named

TEXTS = (
    "How is the weather?",
    "The cat sat on the mat, as it did each evening, and looked at the rain.",
    "naïve café 東京",
    "",
)
CONFIGURATION = ("config.json", "tokenizer.json", "tokenizer_config.json")

pytestmark = pytest.mark.skipif(
    clients_folder() is None or find_chromium() is None,
    reason="transformers.js or Chromium is not installed here; run `make clients`",
)


@pytest.mark.parametrize("client", [NodeClient(), ChromiumClient()], ids=lambda item: item.name)
def test_a_client_gives_the_vectors_that_python_gives(
    minilm: Path, minilm_source: Path, client: Client, tmp_path: Path
) -> None:
    for name in CONFIGURATION:
        shutil.copy(minilm_source / name, tmp_path)
    (tmp_path / "onnx").mkdir()
    shutil.copy(minilm, tmp_path / "onnx" / "model.onnx")
    request = Request(TEXTS, {"pooling": "mean", "normalize": True})
    answer = client.ask(tmp_path, [request], dtype="fp32", task="feature-extraction")
    found = np.array(answer.results[0].vectors)

    tokenizer = Tokenizer.from_file(str(minilm_source / "tokenizer.json"))
    tokenizer.enable_padding()
    rows = tokenizer.encode_batch(list(TEXTS))
    mask = np.array([row.attention_mask for row in rows], np.int64)
    feeds = {
        "input_ids": np.array([row.ids for row in rows], np.int64),
        "attention_mask": mask,
        "token_type_ids": np.zeros_like(mask),
    }
    hidden = run_named(open_session(minilm), feeds)[0]
    pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    assert found.shape == expected.shape == (len(TEXTS), 384)
    assert np.abs(found - expected).max() < 1e-5
    assert abs(float(found[0] @ found[1])) < 0.9  # they are different texts
