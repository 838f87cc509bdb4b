"""A training bundle learns in a page as it does in Python: the same losses, step by step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))

from tiny_training import ROOT, Tiny, code_of_bundle, image, read_manifest, write_bundle

from olive_build.clients.client_packages import clients_folder, find_chromium
from olive_build.clients.training_client import ask_page, train_in_chromium
from olive_build.errors import StepError
from olive_build.toolchains import provision

pytestmark = pytest.mark.skipif(
    clients_folder() is None or find_chromium() is None,
    reason="onnxruntime-web or Chromium is not installed here; run `make clients`",
)
STEPS, BATCH = 20, 8
# What a page steps with: its API cannot change it.
RATE = 0.001
TRAIN = """
import json, runpy, sys
from pathlib import Path
import numpy as np
host = runpy.run_path(sys.argv[1])
host["hide_python_path"]()
host["show_package"]()
from olive_build.training.session import TrainingSession
session = TrainingSession(Path(sys.argv[2]))
session.set_learning_rate(float(sys.argv[4]))
data = np.load(sys.argv[3])
losses = [session.step([x], y) for x, y in zip(data["pixels"], data["labels"])]
_, (logits,) = session.evaluate([data["judged"]], data["labels"][0])
print(json.dumps({"losses": losses, "logits": logits.reshape(-1).tolist()}))
"""
# The rest of a page, for the README's code.
ANSWER = """
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL('../runtime/', import.meta.url).href;
window.answer = async ({ pixels, labels }) => {
  const folder = new URL('../training/', import.meta.url).href;
  const trainer = await Trainer.open(folder);
  const x = Float32Array.from(pixels), y = BigInt64Array.from(labels.map(BigInt));
  const losses = [];
  for (let i = 0; i < 5; i++) losses.push(await trainer.step(x, y));
  const learned = await trainer.learned();
  const again = await Trainer.open(folder);
  const fresh = Array.from(await again.evaluate(x, y));
  await again.restore(learned);
  const trained = Array.from(await trainer.evaluate(x, y));
  const restored = Array.from(await again.evaluate(x, y));
  return { losses, count: learned.length, fresh, trained, restored };
};
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("web") / "bundle", Tiny(target="web"))


@pytest.fixture(scope="module")
def batches() -> dict[str, Any]:
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, (STEPS, BATCH))
    pixels = np.array([[image(kind, random) for kind in row] for row in labels])
    return {
        "pixels": ((pixels / 255 - 0.5) / 0.5).astype(np.float32)[:, :, None],
        "labels": labels,
    }


def in_python(bundle: Path, batches: dict[str, Any], folder: Path) -> dict[str, Any]:
    np.savez(folder / "data.npz", judged=batches["pixels"][0], **batches)
    host = ROOT / "olive_build" / "toolchains" / "run.py"
    command = [str(provision.python_of("training")), "-P", "-c", TRAIN, str(host)]
    done = subprocess.run(
        [*command, str(bundle / "training"), str(folder / "data.npz"), str(RATE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_page_learns_as_python_does(
    bundle: Path, batches: dict[str, Any], tmp_path: Path
) -> None:
    expected = in_python(bundle, batches, tmp_path)
    pairs = list(zip(batches["pixels"], batches["labels"], strict=True))
    steps = [{"pixel_values": pixels, "labels": labels} for pixels, labels in pairs]
    found = train_in_chromium(bundle / "training", steps, steps[0])
    assert found.losses == pytest.approx(expected["losses"], abs=1e-6)
    assert found.losses[-1] < found.losses[0]
    assert found.outputs["logits"] == pytest.approx(np.array(expected["logits"]), abs=1e-5)
    assert found.parameters.shape == (64 * 16 + 16 * 3 + 3,)
    # What was learned is taken to another visit.
    again = train_in_chromium(bundle / "training", [], steps[0], restored=found.parameters)
    assert np.array_equal(again.parameters, found.parameters)
    assert np.array_equal(again.outputs["logits"], found.outputs["logits"])


def test_the_readme_code_runs_as_it_stands(
    bundle: Path, batches: dict[str, Any], tmp_path: Path
) -> None:
    text = code_of_bundle(read_manifest(bundle))
    code = text.partition("```javascript\n")[2].partition("```")[0]
    (tmp_path / "readme.mjs").write_text(code + ANSWER, encoding="utf-8")
    pixels, labels = batches["pixels"][0], batches["labels"][0]
    question = {"pixels": pixels.reshape(-1).tolist(), "labels": labels.tolist()}
    found = ask_page(bundle / "training", question, tmp_path / "readme.mjs")
    assert found["losses"] == sorted(found["losses"], reverse=True)
    assert found["count"] == 1075
    assert len(found["trained"]) == BATCH * 3
    assert found["restored"] == found["trained"] != found["fresh"]


def test_a_file_that_is_missing_is_the_pages_error(batches: dict[str, Any], tmp_path: Path) -> None:
    batch = {"pixel_values": batches["pixels"][0], "labels": batches["labels"][0]}
    with pytest.raises(StepError) as caught:
        train_in_chromium(tmp_path, [batch], batch)
    assert caught.value.what == "chromium cannot run the bundle"
    assert caught.value.where == str(tmp_path)
