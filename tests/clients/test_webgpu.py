"""A web bundle on WebGPU, by a GPU in software: whether it is right, and nothing of its speed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from neo_bundle import PENALTIES, TIES, PythonClient, differences, prompts

from olive_build.clients.client_packages import (
    clients_folder,
    find_chromium,
    require_chromium,
    require_clients,
)
from olive_build.clients.javascript_client import ChromiumClient, Request
from olive_build.clients.web_server import serving
from olive_build.errors import StepError

pytestmark = [
    pytest.mark.skipif(
        clients_folder() is None or find_chromium() is None,
        reason="transformers.js or Chromium is not installed here; run `make clients`",
    ),
    pytest.mark.usefixtures("features"),
]
WEBGPU = ChromiumClient("webgpu")
# A token takes a fifth of a second and more.
TOKENS = 6
ADAPTER = """<!doctype html><title>The adapter</title><link rel="icon" href="data:,"><script>
window.answer = async () => {
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter ? [...adapter.features] : null;
};
</script>"""


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """What the GPU in software has, by WebGPU's names. Skips where the browser has none."""
    folder = tmp_path_factory.mktemp("adapter")
    (folder / "page.html").write_text(ADAPTER, encoding="utf-8")
    with serving({"/": folder}) as server:
        program = ["--preserve-symlinks-main", str(require_clients() / "drive.mjs")]
        done = subprocess.run(
            ["node", *program, require_chromium(), f"{server.url}/page.html"],
            input='{"device": "webgpu"}',
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if found is None:
        pytest.skip("this browser has no WebGPU by SwiftShader")
    return frozenset(found)


@pytest.mark.parametrize("dtype", ["fp32", "q8", "q4"])
def test_webgpu_writes_what_python_writes(neo_bundle: Path, dtype: str) -> None:
    options = {"max_new_tokens": TOKENS, "do_sample": False, "eos_token_id": -1}
    first, *others = prompts(neo_bundle)
    # In the batch, words and not tokens are counted: its rows are of several lengths.
    batch = (first, " ".join(others[0].split()[:2]))
    requests = [Request((first,), options | PENALTIES), Request(batch, options)]
    answer = WEBGPU.ask(neo_bundle, requests, dtype=dtype)
    assert (answer.device, answer.dtype) == ("webgpu", dtype)
    assert "runtime/ort-wasm-simd-threaded.asyncify.wasm" in answer.downloaded
    python = PythonClient(neo_bundle, dtype)
    expected = [python.write(request) for request in requests]
    found = [result.tokens for result in answer.results]
    assert differences(expected, found, TIES[dtype] or 1e-3) == []


@pytest.mark.parametrize(("dtype", "reason"), [("fp16", "support fp16"), ("q4f16", "requires f16")])
def test_half_precision_needs_a_gpu_that_has_it(
    neo_bundle: Path, features: frozenset[str], dtype: str, reason: str
) -> None:
    """Where it has not, the client says so, and writes no nonsense."""
    if "shader-f16" in features:
        pytest.skip("this browser's GPU in software has half precision")
    with pytest.raises(StepError) as caught:
        WEBGPU.ask(
            neo_bundle, [Request(prompts(neo_bundle)[:1], {"max_new_tokens": 1})], dtype=dtype
        )
    assert reason in (caught.value.why or "")
