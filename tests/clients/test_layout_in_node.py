"""What the layout check says of a folder is what happens to it in transformers.js, in Node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / ".clients"
sys.path.insert(0, str(ROOT / "tests" / "bundle" / "layouts"))

import graph_mistakes  # noqa: E402, F401
from client_folder import WRITERS  # noqa: E402
from layout_mistakes import CASES  # noqa: E402

from olive_build.bundle.layouts.check import check_layout  # noqa: E402

# The other mistakes show in a browser, in another device, or in what a real model computes.
FAIL_IN_NODE = """
models-beside-the-configuration name-of-an-older-client pointers-of-git-lfs web-page-for-a-model
truncated-model empty-model no-onnx-in-it ort-file-for-a-model dangling-link
external-data-missing external-data-cut-off external-data-outside external-data-in-a-folder-above
unknown-model-type settings-that-are-none tokenizer-of-the-older-form tokenizer-without-a-part
processor-of-transformers-5 unknown-image-processor length-of-the-cache-fixed layers-not-counted
fewer-layers-than-the-graph cache-of-two-types cache-that-does-not-come-out
inputs-that-nobody-gives length-of-texts-fixed tokenizer-in-the-graph optimized-for-one-machine
operator-of-another-device opset-and-ir-too-high
""".split()
# The miniature of speech has the right files and computes nothing.
WORK = [kind for kind in WRITERS if kind != "speech-recognition"]
PROGRAM = """
import { pipeline, env, RawImage } from '@huggingface/transformers';
const [folder, ...folders] = JSON.parse(process.argv[1]);
env.allowRemoteModels = false;
env.localModelPath = folder;
let fail = () => {};
// A file of external data that is missing leaves the client waiting for ever.
process.on('unhandledRejection', (error) => fail(error));
const image = new RawImage(new Uint8ClampedArray(3072), 32, 32, 3);
const inputs = { 'image-classification': image };
const results = {};
for (const [name, task] of folders) {
    const failed = new Promise((_, reject) => { fail = reject; });
    const run = async () => {
        const run = await pipeline(task, name, { device: 'cpu' });
        await run(inputs[task] ?? ['ab', 'ab'], { max_new_tokens: 3 });
    };
    results[name] = await Promise.race([run(), failed]).then(() => null, (e) => String(e.message));
}
console.log(JSON.stringify(results));
process.exit(0);
"""

pytestmark = pytest.mark.skipif(
    not (CLIENTS / ".ready").exists(),
    reason="transformers.js is not installed here; run `make clients`, which needs Node 20 and npm",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folders")


@pytest.fixture(scope="module")
def results(folders: Path) -> dict[str, str | None]:
    """Write and load all folders in one process of Node: name -> None, or the client's error."""
    writers = {**CASES, **WRITERS}
    loads = []
    for name in (*WORK, *FAIL_IN_NODE):
        report = check_layout(writers[name](folders / name))
        assert (report.errors == 0) == (name in WORK), name
        loads.append([name, report.kind])
    done = subprocess.run(
        ["node", "--input-type=module", "-e", PROGRAM, json.dumps([f"{folders}/", *loads])],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", WORK)
def test_a_folder_that_passes_runs(name: str, results: dict[str, str | None]) -> None:
    assert results[name] is None


@pytest.mark.parametrize("name", FAIL_IN_NODE)
def test_a_folder_with_an_error_fails(name: str, results: dict[str, str | None]) -> None:
    assert results[name]
