"""What the layout check says of a folder is what happens to it in transformers.js, in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bundle" / "layouts"))

import graph_mistakes  # noqa: E402, F401
from client_folder import WRITERS  # noqa: E402
from layout_mistakes import CASES  # noqa: E402

from olive_build.bundle.layouts.check import check_layout  # noqa: E402
from olive_build.clients.client_packages import clients_folder, require_clients  # noqa: E402

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
import { AsyncLocalStorage } from 'node:async_hooks';
import { pipeline, env, RawImage } from '@huggingface/transformers';
const [folder, ...folders] = JSON.parse(process.argv[1]);
env.allowRemoteModels = false;
env.localModelPath = folder;
// A file of external data that is missing leaves the client waiting for ever. What is rejected is
// charged to the folder that it began in, however late it comes.
const failing = new AsyncLocalStorage();
let fail = () => {};
process.on('unhandledRejection', (error) => (failing.getStore() ?? fail)(error));
const image = new RawImage(new Uint8ClampedArray(3072), 32, 32, 3);
const inputs = { 'image-classification': image };
const results = {};
for (const [name, task] of folders) {
    const failed = new Promise((_, reject) => { fail = reject; });
    const run = async () => {
        const run = await pipeline(task, name, { device: 'cpu' });
        await run(inputs[task] ?? ['ab', 'ab'], { max_new_tokens: 3 });
    };
    const ran = failing.run(fail, run);
    results[name] = await Promise.race([ran, failed]).then(() => null, (e) => String(e.message));
    await new Promise((resolve) => setImmediate(resolve));
}
console.log(JSON.stringify(results));
process.exit(0);
"""
# In the client's place: its first folder fails at once, and once more while the next one loads.
STAND_IN = """
export const env = {};
export class RawImage {}
const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));
export const pipeline = async (task, name) => {
    if (name === 'fails twice') {
        setTimeout(() => Promise.reject(new Error('late')), 50);
        throw new Error('soon');
    }
    await wait(300);
    return async () => {};
};
"""


def loaded(clients: Path, folder: str, loads: list[list[str]]) -> dict[str, str | None]:
    """Load folders in one process of Node: name -> None, or the client's error."""
    done = subprocess.run(
        ["node", "--input-type=module", "-e", PROGRAM, json.dumps([folder, *loads])],
        cwd=clients,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Not splitlines: the client's words may have what else it splits at.
    found: dict[str, str | None] = json.loads(done.stdout.rstrip("\n").rpartition("\n")[2])
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folders")


@pytest.fixture(scope="module")
def results(folders: Path) -> dict[str, str | None]:
    """Write all folders, and what came of loading them."""
    if clients_folder() is None:
        pytest.skip("transformers.js is not installed here; run `make clients`")
    writers = {**CASES, **WRITERS}
    loads = []
    for name in (*WORK, *FAIL_IN_NODE):
        report = check_layout(writers[name](folders / name))
        assert (report.errors == 0) == (name in WORK), name
        loads.append([name, report.kind])
    return loaded(require_clients(), f"{folders}/", loads)


@pytest.mark.parametrize("name", WORK)
def test_a_folder_that_passes_runs(name: str, results: dict[str, str | None]) -> None:
    assert results[name] is None


@pytest.mark.parametrize("name", FAIL_IN_NODE)
def test_a_folder_with_an_error_fails(name: str, results: dict[str, str | None]) -> None:
    assert results[name]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed here")
def test_a_late_error_is_charged_to_the_folder_that_made_it(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "@huggingface" / "transformers"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (package / "index.js").write_text(STAND_IN, encoding="utf-8")
    names = ["fails twice", "goes well"]
    found = loaded(tmp_path, "/nowhere/", [[name, "text-generation"] for name in names])
    assert found == {"fails twice": "soon", "goes well": None}
