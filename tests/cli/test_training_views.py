"""What is shown of training bundles that were built for real: plan, bench, diff, report, verify."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from tiny_recipe import ROOT, Project, Result
from tiny_training import read_manifest, write_manifest

from olive_build.errors import ProofError
from olive_build.record.read import PROOF, SEAL, seal_of
from olive_build.training import verifying

sys.path.insert(0, str(ROOT / "tests" / "report"))
from small_bundle import Page

RECIPES = ("--recipes", str(ROOT / "recipes"))
CHOSEN = ("digits-cnn", "topics-lora", "--smoke", "--target", "desktop", *RECIPES)
MODELS = ("training_model.onnx", "eval_model.onnx", "optimizer_model.onnx", "checkpoint")
DIGITS, TOPICS = (f"outputs/smoke/{name}/desktop" for name in CHOSEN[:2])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Project:
    """A folder in which both miniatures are built; tests change nothing in its bundles."""
    project = Project(tmp_path_factory.mktemp("views"), shared_cache)
    succeeded(project, "build", *CHOSEN)
    return project


def succeeded(project: Project, *words: str) -> Result:
    result = project.run(*words)
    assert result.code == 0, result.out + result.err
    return result


def proof(project: Project, bundle: str) -> dict[str, Any]:
    text = (project.folder / bundle / "proof.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["variants"]["inference"]["training"]
    return found


def test_a_plan_has_every_file_that_steps_make(made: Project) -> None:
    text = succeeded(made, "plan", *CHOSEN).out
    planned = succeeded(made, "plan", *CHOSEN, "--json").json
    for bundle, folder in zip(planned["bundles"], (DIGITS, TOPICS), strict=True):
        there = {path.name for path in (made.folder / folder / "training").iterdir()}
        assert there == set(MODELS)
        assert set(bundle["files"]) == {f"training/{name}" for name in MODELS} | {
            "inference/model.onnx"
        }
        steps = {step["id"]: step["kind"].rpartition(":")[2] for step in planned["steps"]}
        assert {steps[node] for node in bundle["files"].values()} == {"TrainingArtifacts"}
    assert text.count("    training/checkpoint  from topics-lora/artifacts\n") == 1


def test_nothing_is_to_be_done_again(made: Project) -> None:
    steps = succeeded(made, "explain", *CHOSEN, "--json").json
    assert {step["slot"] for step in steps} >= {
        "digits-cnn/training-proof",
        "topics-lora/reference",
    }
    assert not [step for step in steps if step["runs"]]


def test_the_recipes_are_listed(made: Project) -> None:
    listed = {row["name"] for row in succeeded(made, "list", *RECIPES, "--json").json}
    assert set(CHOSEN[:2]) <= listed


def test_a_bench_times_steps_of_training(made: Project) -> None:
    words = ("bench", DIGITS, TOPICS, "--batches", "2,5", "--threads", "1,2", "--json")
    rows = succeeded(made, *words).json["training"]
    found = {(row["bundle"], row["batch"], row["threads"]) for row in rows}
    names = ("digits-cnn/desktop", "topics-lora/desktop")
    assert found == {(name, batch, count) for name in names for batch in (2, 5) for count in (1, 2)}
    for row in rows:
        assert row["milliseconds_per_step"] > 0
        assert row["peak_bytes"] > row["baseline_bytes"] > 10_000_000
        expected = row["batch"] * 1e3 / row["milliseconds_per_step"]
        assert row["examples_per_second"] == pytest.approx(expected)


def test_a_bench_is_told_for_people(made: Project) -> None:
    result = succeeded(made, "bench", TOPICS)
    assert "ms a step" in result.out
    # The recipe's batch, one thread.
    assert re.search(r"topics-lora/desktop +16 +1 +\d+\.\d\d ", result.out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--against", "pytorch"), "--against is not for training bundles"),
        (("--lengths", "8"), "--lengths is not for training bundles"),
        (("--seconds", "2"), "--seconds is not for training bundles"),
        (("--batches", "0"), "--batches is a list of whole numbers"),
    ],
)
def test_a_bench_says_what_it_does_not_do(
    made: Project, words: tuple[str, str], message: str
) -> None:
    result = made.run("bench", DIGITS, *words)
    assert result.code == 2
    assert message in result.err
    assert "to fix:" in result.err


def changed(made: Project, tmp_path: Path, **section: Any) -> Path:
    """Return a copy of a bundle whose manifest says something else of training."""
    folder = tmp_path / "copy"
    shutil.copytree(made.folder / DIGITS, folder)
    manifest = read_manifest(folder)
    manifest["training"] |= section
    write_manifest(folder, manifest)
    return folder


def test_a_bench_keeps_to_a_batch_that_is_fixed(made: Project, tmp_path: Path) -> None:
    inputs = read_manifest(made.folder / DIGITS)["training"]["inputs"]
    inputs[0]["axes"][0] = 4
    folder = changed(made, tmp_path, inputs=inputs)
    result = made.run("bench", str(folder), "--batches", "8")
    assert result.code == 2
    assert "take 4 at a time, not 8" in result.err
    rows = succeeded(made, "bench", str(folder), "--json").json["training"]
    assert [row["batch"] for row in rows] == [4]


def test_a_bench_of_both_kinds_or_of_damaged_inputs_is_refused(
    made: Project, tmp_path: Path
) -> None:
    folder = changed(made, tmp_path)
    (folder / "reference" / "reference.npz").write_bytes(b"no archive")
    result = made.run("bench", str(folder))
    assert (result.code, "reference.npz: has 10 bytes, not " in result.err) == (6, True)
    manifest = read_manifest(folder)
    for item in manifest["files"]:
        if item["path"] == "reference/reference.npz":
            digest = hashlib.sha256(b"no archive").hexdigest()
            item |= {"sha256": digest, "size_bytes": len(b"no archive")}
    write_manifest(folder, manifest)
    result = made.run("bench", str(folder))
    assert (result.code, "references cannot be read" in result.err) == (6, True)
    del manifest["training"]
    write_manifest(folder, manifest)
    result = made.run("bench", DIGITS, str(folder))
    assert result.code == 2
    assert "training bundles are not benched beside others" in result.err
    assert f"bench {DIGITS} by itself" in result.err


def test_a_step_that_does_not_run_is_told_with_its_reason(made: Project, tmp_path: Path) -> None:
    inputs = read_manifest(made.folder / TOPICS)["training"]["inputs"]
    folder = tmp_path / "copy"
    shutil.copytree(made.folder / TOPICS, folder)
    manifest = read_manifest(folder)
    manifest["training"]["inputs"] = inputs[::-1] + inputs[:1]  # one too many
    write_manifest(folder, manifest)
    result = made.run("bench", str(folder))
    assert result.code == 4
    assert "a training step cannot be timed" in result.err


def test_a_difference_in_training_is_shown(made: Project, tmp_path: Path) -> None:
    assert succeeded(made, "diff", DIGITS, DIGITS).out.startswith("no difference")
    rows = succeeded(made, "diff", DIGITS, TOPICS, "--json").json
    found = {row["what"]: (row["old"], row["new"]) for row in rows}
    assert found["training optimizer lr"] == (0.001, 0.003)
    assert found["training labels"][1][0] == "asyncio"
    old, new = found["training learns"]
    assert "lora_A [4, 16]" in new[0]
    assert not [name for name in old if "lora" in name]
    assert found["training stay as they are"][0] == 0
    recorded = [proof(made, bundle) for bundle in (DIGITS, TOPICS)]
    for name in ("losses_difference", "inference_difference"):
        assert found[f"inference: training {name}"] == tuple(item[name] for item in recorded)
    times = tuple(item["cost"]["milliseconds_per_step"] for item in recorded)
    assert found["inference: training cost milliseconds_per_step"] == times
    loss = {"name": "cross-entropy", "class_weights": [1.0, 2.0], "output": None}
    folder = changed(made, tmp_path, loss=loss, epochs=3)
    rows = succeeded(made, "diff", DIGITS, str(folder), "--json").json
    assert {row["what"] for row in rows} == {"training loss class_weights", "training epochs"}


def slots(page: str) -> set[str]:
    """Return the steps that a page names."""
    steps = page.partition('<section id="steps"')[2].partition("</section>")[0]
    shown = (item.replace("\u200b", "") for item in re.findall(r'class="code">([^<]*)<', steps))
    return {slot for slot in shown if not slot.startswith("miniature/")}


@pytest.mark.parametrize("bundle", [DIGITS, TOPICS])
def test_a_page_has_training_and_the_steps_of_this_bundle_alone(
    made: Project, bundle: str, tmp_path: Path
) -> None:
    """The optimizer of both bundles has the same bytes, so both made that file."""
    path = tmp_path / "page.html"
    succeeded(made, "report", bundle, "--output", str(path))
    text = path.read_text(encoding="utf-8")
    page, recorded = Page(text), proof(made, bundle)
    cost = recorded["cost"]
    for value in (
        *(cost["milliseconds_per_step"], cost["peak_bytes"]),
        *(cost["all_cores"]["milliseconds_per_step"], recorded["losses_difference"]),
        recorded["gradients"]["worst"],
    ):
        assert value in page.figures
    recipe = bundle.split("/")[2]
    kinds = ["training-export", "prepare-training", "artifacts", "reference", "training-proof"]
    kinds += ["trained-inference", "training-cost", "outputs-onnx", "quality-onnx", "describe"]
    kinds += ["client-tokenizer"] if recipe == "topics-lora" else []
    assert slots(text) == {f"{recipe}/{kind}" for kind in kinds}
    assert "training" in page.ids
    assert "adamw: lr 0.00" in page.text
    assert "runs the inference model again" in page.text
    assert "Times PyTorch" not in page.text


def test_two_training_bundles_are_compared(made: Project, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    succeeded(made, "report", DIGITS, TOPICS, "--output", str(path))
    page = Page(path.read_text(encoding="utf-8"))
    for words in ("a training step, 1 thread", "training optimizer lr", "training learns"):
        assert words in page.text
    # It stands among the figures, and is not told a second time.
    assert "cost milliseconds_per_step" not in page.text


def test_verify_says_what_it_did_and_what_not(made: Project) -> None:
    result = succeeded(made, "verify", DIGITS, TOPICS)
    assert result.out.count("verified, every byte, the inference model by running it again") == 2
    assert "every figure" not in result.out
    assert result.out.count("not verified: that the files train as PyTorch does") == 2
    assert "`verify --train` repeats three steps" in result.out
    assert re.search(r"inference/model.onnx +100\.00 % +\d\.\de-\d\d\n", result.out)
    for bundle in succeeded(made, "verify", DIGITS, "--json").json:
        assert bundle["training"] == {"steps": "recorded, not run again", "gates": []}
    for readme in (made.folder / bundle / "README.md" for bundle in (DIGITS, TOPICS)):
        text = readme.read_text(encoding="utf-8")
        assert "it takes no training step. With `--train` it repeats three" in text
        assert "checks all of it again" not in text


def test_verify_trains_again_where_it_is_asked_to(made: Project) -> None:
    result = succeeded(made, "verify", "--train", DIGITS, TOPICS)
    assert result.out.count("three of PyTorch's steps were taken again") == 2
    assert "that the files train as PyTorch does" not in result.out
    assert result.out.count("not verified: twenty steps in a row") == 2
    (bundle,) = succeeded(made, "verify", "--train", DIGITS, "--json").json
    assert bundle["training"]["steps"] == "repeated"
    figures = {gate["figure"] for gate in bundle["training"]["gates"]}
    assert {"losses_difference", "gradient_difference", "parameters_difference"} <= figures


def sealed(made: Project, tmp_path: Path, path: str, content: bytes) -> Path:
    """Copy the bundle of digits with another file, whose digest is in the manifest."""
    folder = changed(made, tmp_path)
    (folder / path).write_bytes(content)
    manifest = read_manifest(folder)
    for entry in manifest["files"]:
        if entry["path"] == path:
            entry["sha256"] = hashlib.sha256(content).hexdigest()
            entry["size_bytes"] = len(content)
    write_manifest(folder, manifest)
    proof = json.loads((folder / PROOF).read_bytes())
    before = (made.folder / DIGITS / path).stat().st_size
    for variant in proof["variants"].values():
        variant["size_bytes"] += len(content) - before
    text = json.dumps(proof).encode()
    (folder / PROOF).write_bytes(text)
    (folder / SEAL).write_bytes(seal_of(text))
    return folder


def test_a_sealed_checkpoint_that_is_none_is_refused_without_training(
    made: Project, tmp_path: Path
) -> None:
    folder = sealed(made, tmp_path, "training/checkpoint", b"junk")
    result = made.run("verify", str(folder))
    assert result.code == 5
    assert "training/checkpoint: checkpoint is no checkpoint, or is damaged" in result.err


def test_a_sealed_graph_that_trains_otherwise_is_refused_by_training(
    made: Project, tmp_path: Path
) -> None:
    path = made.folder / DIGITS / "training" / "training_model.onnx"
    model = onnx.load(str(path))
    nodes = list(model.graph.node)
    index, node = next((i, n) for i, n in enumerate(nodes) if n.op_type.startswith("InPlaceAcc"))
    model.graph.initializer.append(onnx.helper.make_tensor("minus", 1, [], [-1.0]))
    flipped = onnx.helper.make_node("Mul", [node.input[1], "minus"], ["flipped"])
    model.graph.node.insert(index, flipped)
    model.graph.node[index + 1].input[1] = "flipped"
    folder = sealed(made, tmp_path, "training/training_model.onnx", model.SerializeToString())
    result = made.run("verify", "--train", str(folder))
    assert result.code == 5
    assert "the bundle does not train as PyTorch did" in result.err
    assert "gradient_difference" in result.err


def test_a_step_that_never_ends_is_ended(
    made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = onnx.helper
    model = onnx.load(str(made.folder / DIGITS / "training" / "training_model.onnx"))
    nodes = list(enumerate(model.graph.node))
    index, node = next((i, n) for i, n in nodes if n.op_type.startswith("InPlaceAcc"))
    infos = [("i", 7), ("c", 9), ("v", 1)]
    ends = [helper.make_tensor_value_info(name, kind, []) for name, kind in infos]
    turns = [helper.make_node("Identity", [name], [f"{name}2"]) for name in ("c", "v")]
    outs = [helper.make_tensor_value_info(f"{name}2", kind, []) for name, kind in infos[1:]]
    body = helper.make_graph(turns, "body", ends, outs)
    for name, kind, value in (("most", 7, 2**62), ("go", 9, True), ("one", 1, 1.0)):
        model.graph.initializer.append(helper.make_tensor(name, kind, [], [value]))
    scaled = helper.make_node("Mul", [node.input[1], "spun"], ["scaled"])
    loop = helper.make_node("Loop", ["most", "go", "one"], ["spun"], body=body)
    model.graph.node.insert(index, scaled)
    model.graph.node.insert(index, loop)
    model.graph.node[index + 2].input[1] = "scaled"
    folder = sealed(made, tmp_path, "training/training_model.onnx", model.SerializeToString())
    monkeypatch.setattr(verifying, "REPEAT_SECONDS", 15.0)
    with pytest.raises(ProofError) as caught:
        verifying.train_again(folder)
    assert "it gives no answer within 1" in str(caught.value.why)


def test_training_again_is_for_bundles_that_train(made: Project, tmp_path: Path) -> None:
    result = made.run("verify", "--train", "--layout", "transformers.js", DIGITS)
    assert (result.code, "--train is not for --layout" in result.err) == (2, True)
