"""`olive-build train` says what is right, what diverged, and what is kept or left out."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tiny_training import ROOT, Tiny, read_manifest, write_bundle, write_images

from olive_build.families.image_classification.examples import read_examples
from olive_build.training.held_out import class_shares, error_rate, right_share
from olive_build.training.settings import Loss
from olive_build.training.train_child import differences
from olive_build.training.verb.examples import by_class

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
OWNER = Tiny(labels=("bar", "dot"), loss=Loss("cross-entropy", (0.3, 1.7)), margin=1.5)


def ended(folder: Path, code: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Train in the folder, which must end with the code."""
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "train", *words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def history(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())["history"]
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    write_bundle(folder / "shapes")
    write_images(folder / "images", (10, 10, 10))
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    for name in ("shapes", "images"):
        (tmp_path / name).symlink_to(made / name)
    return tmp_path


def test_classes_count_alike_and_the_margin_decides() -> None:
    """The larger logit says class 1 to all; by a margin, all is right."""
    differs = np.array([0.1, 0.2, 0.3, 0.4, 0.9], np.float32)
    logits, targets = np.stack([0 * differs, differs], 1), np.array([0, 0, 0, 0, 1])
    loss = Loss("cross-entropy")
    assert class_shares(logits, targets, None) == (0.0, 1.0)
    assert right_share(loss, logits, targets) == 0.5  # of all examples, a fifth is right
    assert class_shares(logits, targets, 0.69) == (1.0, 1.0)
    assert right_share(loss, logits, targets, 0.69) == 1
    assert class_shares(logits, targets, 0.9) == (1.0, 0.0)  # above it, not at it
    assert class_shares(logits, 0 * targets, None) == (0.0, None)
    assert right_share(loss, logits, 0 * targets) == 0


def test_the_equal_error_rate_is_of_two_classes_that_are_there() -> None:
    logits, targets = np.array([[0, 1], [0, 2], [0, 3], [0, 4.0]]), np.array([0, 1, 0, 1])
    assert error_rate(logits, targets) == 0.5
    assert error_rate(logits, np.array([0, 0, 1, 1])) == 0
    assert error_rate(0 * logits, targets) == 0.5
    assert error_rate(logits, 0 * targets) is None
    assert error_rate(np.full((4, 2), np.inf), targets) is None
    assert error_rate(np.zeros((4, 3)), targets) is None


def test_an_owner_is_told_by_the_margin_of_the_bundle(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "voice", OWNER)
    data = write_images(tmp_path / "images", (40, 10, 0))
    out = ended(tmp_path, 0, "voice", "--data", "images", "--epochs", "2").stdout
    first, *_, last = history(tmp_path / "shapes-trained")["judged"]
    described = read_manifest(bundle)["training"]["data"]
    examples = read_examples(data, described, bundle, OWNER.labels, "cross-entropy")
    held = by_class(examples.targets, OWNER.labels, 0.2, 5).held
    session = onnxruntime.InferenceSession(str(tmp_path / "shapes-trained" / "inference.onnx"))
    (logits,) = session.run(None, {"pixel_values": examples.inputs["pixel_values"][held]})
    taken = logits[:, 1] - logits[:, 0] > 1.5
    shares = [float(np.mean(taken[examples.targets[held] == n] == n)) for n in (0, 1)]
    assert taken.tolist() != logits.argmax(1).tolist()  # the larger logit would say otherwise
    assert last["shares"] == pytest.approx(shares)
    assert last["accuracy"] == pytest.approx(np.mean(shares))
    changes = [f"{a:.1%} -> {b:.1%}" for a, b in zip(first["shares"], shares, strict=True)]
    assert re.search(rf"\nbar +32 +8 +{changes[0]}\n", out)
    assert re.search(rf"\ndot +8 +2 +{changes[1]}\n", out)
    rate = f"{last['equal_error_rate']:.1%}"
    assert f"{last['accuracy']:.1%} right, equal error rate {rate}\n" in out
    assert re.search(rf"equal error rate, held out, before -> after +\S+ -> {rate}\n", out)
    assert "held out and right, mean of classes, before -> after" in out


def test_a_training_that_diverged_is_warned_of(work: Path) -> None:
    words = ("shapes", "--data", "images", "--epochs", "1", "--learning-rate", "1e3")
    out = ended(work, 0, *words).stdout
    assert re.search(r"warning: training diverged, its loss went from \S+ to \S+;", out)
    assert "--learning-rate 100" in out
    assert not re.search(r"\d{9}", out)  # in digits that nobody counts
    assert "warning" not in ended(work, 0, *words[:-1], "1e-3").stdout


def test_what_was_finished_before_an_error_is_kept(work: Path) -> None:
    """Weight decay of AdamW multiplies the parameters by -9 a step, until they overflow."""
    words = ("shapes", "--data", "images", "--epochs", "90", "--learning-rate", "1e3")
    error = ended(work, 4, *words).stderr
    assert re.search(r"(the loss is|infinite or NaN)", error)
    assert "lower the learning rate, such as --learning-rate 100" in error
    found = re.search(r"epoch (\d+) of 90 is kept in shapes-trained; go on from it with:", error)
    assert found
    assert "--resume shapes-trained/checkpoint" in error
    names = sorted(path.name for path in (work / "shapes-trained").iterdir())
    assert names == ["checkpoint", "loss.svg", "training.json"]
    assert len(history(work / "shapes-trained")["ends"]) == int(found[1])
    again = ("--resume", "shapes-trained/checkpoint", "--learning-rate", "1e-6", "--epochs", "1")
    ended(work, 0, "shapes", "--data", "images", *again, "--output", "more")


def test_what_was_finished_before_a_crash_is_kept(work: Path) -> None:
    words = [sys.executable, "-m", "olive_build", "train", "shapes", "--data", "images", "--json"]
    with subprocess.Popen(
        [*words, "--epochs", "2000"], cwd=work, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if '"saved": {"epoch": 3}' in line:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                (child,) = map(int, children.split())
                os.kill(child, signal.SIGKILL)
                break
        error = json.loads(process.stdout.read().splitlines()[-1])["error"]
        assert process.wait(timeout=60) == 4
    assert "killed by SIGKILL" in error["why"]
    assert "train in smaller batches where memory ran out" in error["hint"]
    ends = history(work / "shapes-trained")["ends"]
    assert len(ends) >= 3
    assert f"epoch {len(ends)} of 2000 is kept in shapes-trained" in error["hint"]
    ended(work, 0, *words[4:-1], "--resume", "shapes-trained/checkpoint", "--epochs", "1")


def test_an_error_is_the_last_line_of_json(work: Path) -> None:
    done = ended(work, 2, "shapes", "--data", "nowhere", "--json")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["error"]["what"] == "the folder with examples does not exist"
    assert "error: the folder with examples does not exist" in done.stderr


def test_a_checkpoint_of_other_graphs_is_known(work: Path) -> None:
    write_bundle(work / "wide", Tiny(width=24))
    shutil.copy(work / "wide" / "training" / "checkpoint", work / "from-a-phone")
    error = ended(work, 2, "shapes", "--data", "images", "--resume", "from-a-phone").stderr
    assert "the checkpoint belongs to another bundle" in error
    assert "`body.weight` is [64, 24] in the checkpoint and [64, 16] in the bundle" in error
    assert "leave --resume away" in error
    assert not (work / "shapes-trained").exists()


def test_what_differs_between_parameters_is_named() -> None:
    found = {"a": (1,), "b": (2,), "c": (3,)}
    assert differences(found, found) == []
    assert differences(found, {"b": (2,), "c": (4,), "d": ()}) == [
        "`a` learns in the checkpoint, and not in the bundle",
        "`c` is [3] in the checkpoint and [4] in the bundle",
        "`d` learns in the bundle, and is not in the checkpoint",
    ]


def test_examples_that_fill_no_batch_are_told(tmp_path: Path) -> None:
    write_bundle(tmp_path / "fixed", Tiny(batch=4))
    write_images(tmp_path / "images", (5, 5, 5))
    words = ("fixed", "--data", "images", "--epochs", "2", "--hold-out")
    told = "each epoch leaves 3 of 15 examples out, by chance: the graphs take 4 at a time"
    assert ended(tmp_path, 0, *words, "0").stdout.count(told) == 1
    assert "examples out" not in ended(tmp_path, 0, *words, "0.2").stdout  # 12 of them
