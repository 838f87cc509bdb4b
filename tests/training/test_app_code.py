"""The README's code of a training bundle: filled with its own names and shapes, and it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))

from tiny_training import LABELS, Tiny, code_of_bundle, image, read_manifest, write_bundle

from olive_build.errors import BundleError
from olive_build.record.codec import decode
from olive_build.record.manifest import Loss as TrainingLoss
from olive_build.record.manifest import Manifest
from olive_build.targets import load_target
from olive_build.toolchains import provision
from olive_build.training.settings import Loss

TARGETS = ("android", "ios", "windows", "web", "desktop")
# What a person adds to the README's Python.
USE = """
data = np.load("data.npz")
before = trainer.evaluate(data["pixels"], data["labels"])
losses = [trainer.step(data["pixels"], data["labels"]) for _ in range(10)]
trainer.train(data["pixels"], data["labels"], epochs=2)
after = trainer.evaluate(data["pixels"], data["labels"])
trainer.export(Path("exported.onnx"))
again = Trainer(Path("training"), Path("learned"))
np.savez("found.npz", before=before, losses=losses, after=after,
         again=again.evaluate(data["pixels"], data["labels"]),
         loss_axes=np.ndim(trainer.module(data["pixels"], data["labels"])[0]))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("code") / "bundle")


def code_of(manifest: dict[str, Any], target: str) -> str:
    """Return the code alone; every fence that opens closes, and so does every bracket."""
    text = code_of_bundle({**manifest, "target": target})
    language = load_target(target).training_language
    assert text.count("```") == 2
    code = text.partition(f"```{language}\n")[2].partition("```")[0]
    assert code
    for opened, closed in ("()", "[]", "{}"):
        # Only the interval of an axis, such as 0..<epochs, has no pair; no such bracket is used.
        assert code.count(opened) == code.count(closed), (target, opened)
    left = re.sub(r"\$\{folder\}|\$0", "", code)
    assert "$" not in left
    return code


def voice(bundle: Path) -> dict[str, Any]:
    """Return the manifest of a speaker model of one clip a step, as the reference app has it."""
    manifest = read_manifest(bundle)
    manifest["training"] |= {
        "inputs": [{"name": "input", "type": "float32", "axes": [1, 160000]}],
        "target": {"name": "labels", "type": "int64", "axes": [1]},
        "outputs": ["output"],
        "labels": ["other", "owner"],
        "batch_size": 8,
        "data": {"kind": "audio", "sampling_rate": 16000, "samples": 160000, "normalize": True},
    }
    manifest["variants"]["inference"]["outputs"] = [
        {"name": "output", "type": "float", "axes": [1, 2]}
    ]
    manifest["training"]["optimizer"] = {"name": "sgd", "lr": 1e-5}
    files = manifest["training"]["files"]
    files |= {"training_model_ort": "training/training_model.ort"}
    files |= {"nominal_checkpoint": "training/nominal_checkpoint"}
    return manifest


def texts(bundle: Path) -> dict[str, Any]:
    """Return the manifest of a model of two inputs whose length is free."""
    manifest = read_manifest(bundle)
    axes = ["batch_size", "sequence_length"]
    manifest["training"]["inputs"] = [
        {"name": name, "type": "int64", "axes": axes} for name in ("input_ids", "attention_mask")
    ]
    manifest["training"]["data"] = {
        "kind": "texts", "tokenizer": "tokenizer.json", "longest": 128, "fixed": False, "pad": 0,
    }  # fmt: skip
    return manifest


def test_the_python_runs_in_the_training_toolchain(bundle: Path, tmp_path: Path) -> None:
    work = tmp_path / "bundle"
    shutil.copytree(bundle, work)
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 24)
    pixels = np.array([image(kind, random) for kind in labels])[:, None]
    pixels = ((pixels / 255 - 0.5) / 0.5).astype(np.float32)
    np.savez(work / "data.npz", pixels=pixels, labels=labels)
    code = code_of(read_manifest(bundle), "desktop")
    done = subprocess.run(
        [str(provision.python_of("training")), "-I", "-c", code + USE],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = np.load(work / "found.npz")
    assert list(found["losses"]) == sorted(found["losses"], reverse=True)
    assert found["loss_axes"] == 0  # Kotlin's code takes it as one number
    assert found["after"].shape == (24, 3)
    assert np.mean(found["after"].argmax(1) == labels) > np.mean(
        found["before"].argmax(1) == labels
    )
    assert np.array_equal(found["again"], found["after"])  # what was saved is what was learned
    session = onnxruntime.InferenceSession(str(work / "exported.onnx"))
    (logits,) = session.run(["logits"], {"pixel_values": pixels})
    assert np.abs(logits - found["after"]).max() < 1e-5


def test_the_javascript_is_javascript(bundle: Path, tmp_path: Path) -> None:
    """tests/clients run it in a browser; here its syntax is checked for every kind of bundle."""
    for number, manifest in enumerate((read_manifest(bundle), voice(bundle), texts(bundle))):
        path = tmp_path / f"{number}.mjs"
        path.write_text(code_of(manifest, "web"), encoding="utf-8")
        subprocess.run(["node", "--check", str(path)], check=True, timeout=60)


@pytest.mark.parametrize("target", TARGETS)
def test_code_has_the_bundles_own_names(bundle: Path, target: str) -> None:
    code = code_of(voice(bundle), target)
    for told in ("checkpoint", "training_model.onnx", "eval_model.onnx", "optimizer_model.onnx"):
        assert told in code
    assert "Labels: 0 other, 1 owner. A batch has exactly 1." in code
    assert "2 logits each for other, owner" in code
    assert "pixel_values" not in code
    assert "output" in code
    if target not in ("web", "desktop"):
        assert "1, 160000" in code
    if target != "web":
        assert "1e-05" in code


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        (
            "android",
            [
                "fun step(inputIds: LongArray, attentionMask: LongArray, labels: LongArray): Float",
                "val count = labels.size.toLong()",
                "val sequenceLength = inputIds.size.toLong() / count",
                '"attention_mask" to tensor(attentionMask, count, sequenceLength),',
                "class Batch(val inputIds: LongArray, val attentionMask: LongArray, val labels",
                "step(batch.inputIds, batch.attentionMask, batch.labels)",
                'exportModelForInference(model.toPath(), arrayOf("logits"))',
                "session.setLearningRate(0.01f)",
            ],
        ),
        (
            "ios",
            [
                "func step(_ inputIds: [Int64], _ attentionMask: [Int64], _ labels: [Int64])",
                "let sequenceLength = inputIds.count / count",
                "try tensor(inputIds, .int64, [count, sequenceLength]),",
                "session.trainStep(withInputValues: feed(inputIds, attentionMask, labels))",
                'withOutputPath: model.path, graphOutputNames: ["logits"])',
                "session.setLearningRate(0.01)",
            ],
        ),
        (
            "windows",
            [
                "public float Step(long[] inputIds, long[] attentionMask, long[] labels)",
                "var sequenceLength = inputIds.Length / count;",
                "Tensor(inputIds, TensorElementType.Int64, count, sequenceLength),",
                "var logitsValues = new float[count * 3];",
                "Tensor(logitsValues, TensorElementType.Float, count, 3),",
                'session.ExportModelForInferencing(model, new[] { "logits" })',
            ],
        ),
        (
            "web",
            [
                "async step(inputIds, attentionMask, labels) {",
                "const sequenceLength = inputIds.length / count;",
                "'input_ids': new ort.Tensor('int64', inputIds, [count, sequenceLength]),",
            ],
        ),
        (
            "desktop",
            [
                "def step(self, input_ids, attention_mask, labels) -> float:",
                "self.step(input_ids[rows], attention_mask[rows], labels[rows])",
            ],
        ),
    ],
)
def test_several_inputs_and_a_free_length(bundle: Path, target: str, lines: list[str]) -> None:
    code = code_of(texts(bundle), target)
    for line in lines:
        assert line in code, code


@pytest.mark.parametrize("target", TARGETS)
def test_numbers_in_place_of_classes(bundle: Path, target: str) -> None:
    manifest = read_manifest(bundle)
    axes: list[Any] = ["batch_size", 3]
    manifest["training"]["target"] = {"name": "target", "type": "float32", "axes": axes}
    manifest["training"]["loss"] = {"name": "mse", "class_weights": [], "output": None}
    code = code_of(manifest, target)
    assert "`target` has 3 for each example." in code
    if target == "android":
        assert "val count = target.size.toLong() / 3" in code
        assert '"target" to tensor(target, count, 3),' in code


def test_what_an_app_prepares_is_told(bundle: Path) -> None:
    said = {
        code_of_bundle(read_manifest(bundle)): "`pixel_values` takes images of 8 x 8 pixels as "
        "[channels, height, width]: each byte times 0.00392157, less 0.5, over 0.5.",
        code_of_bundle(voice(bundle)): "`input` takes 160000 samples, one channel at 16000 Hz, as "
        "numbers from -1 to 1; repeat a clip that is too short, and cut one that is too long. Of "
        "each clip its mean is taken away, and what is left divided by its standard deviation.",
        code_of_bundle(texts(bundle)): "`input_ids` and `attention_mask` take the tokens of "
        "`tokenizer.json`, at most 128 a text, filled up to the longest of a batch with 0",
    }
    for text, told in said.items():
        assert text.startswith(told)


def test_by_what_margin_an_application_decides_is_told(bundle: Path) -> None:
    manifest = voice(bundle)
    assert "Which it is" not in code_of_bundle(manifest)
    manifest["training"]["decision"] = {"margin": 0.69}
    told = code_of_bundle(manifest)
    assert "owner where its logit is above that of other by more than 0.69" in told


def test_what_else_there_is_to_say(bundle: Path) -> None:
    plain, speech = code_of_bundle(read_manifest(bundle)), code_of_bundle(voice(bundle))
    assert "olive-build train <this folder> --data" in plain
    assert "nominal_checkpoint" not in plain
    assert "`nominal_checkpoint` has the names" in speech
    assert "Java" not in speech
    assert "Java's API takes no such buffer" in code_of_bundle(
        {**voice(bundle), "target": "android"}
    )
    assert "The `.ort` graphs take the place" in speech
    manifest = voice(bundle)
    for role in ("training_model", "eval_model", "optimizer_model"):
        del manifest["training"]["files"][role]
        manifest["training"]["files"][f"{role}_ort"] = f"training/{role}.ort"
    only_ort = code_of_bundle(manifest)
    assert "`formats: [onnx, ort]`" in only_ort
    assert "training_model.ort" in only_ort
    web = code_of_bundle({**read_manifest(bundle), "target": "web"})
    assert "so that a page steps with 0.01, as" in web
    manifest = {**read_manifest(bundle), "target": "web"}
    manifest["training"]["optimizer"]["lr"] = 0.001
    assert "a page steps with" not in code_of_bundle(manifest)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"type": "float16"}, "it is float16, and the code knows float32, int64"),
        ({"axes": ["batch_size", "height", "width"]}, "more than one is free beside the batch"),
    ],
)
def test_an_input_that_no_code_can_give(bundle: Path, change: dict[str, Any], told: str) -> None:
    manifest = read_manifest(bundle)
    manifest["training"]["inputs"][0] |= change
    with pytest.raises(BundleError) as caught:
        code_of_bundle({**manifest, "target": "android"})
    assert "cannot give the input 'pixel_values'" in caught.value.what
    assert told in (caught.value.why or "")


def test_the_section_is_read_as_it_was_written(tmp_path: Path) -> None:
    tiny = Tiny(batch=4, loss=Loss("cross-entropy", (1.0, 2.0, 0.5), "logits"))
    manifest = read_manifest(write_bundle(tmp_path / "bundle", tiny))
    found = decode(Manifest, manifest).training
    assert found is not None
    assert (found.fixed_batch, found.batch_size, found.first_batch) == (4, 8, 4)
    assert found.loss == TrainingLoss("cross-entropy", (1.0, 2.0, 0.5), "logits")
    assert found.labels == LABELS
    assert found.form == "onnx"
