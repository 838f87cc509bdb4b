"""`olive-build train`: a bundle learns here as it would on a device, and as PyTorch does."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from tiny_training import LABELS, ROOT, Tiny, weights, write_bundle, write_images

from olive_build.families.image_classification.examples import read_examples
from olive_build.training.settings import Loss
from olive_build.training.verb.examples import by_class

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
BATCH, SEED, RATE = 8, 5, 0.01


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "olive_build", "train", *words]


def call(folder: Path, *words: str) -> str:
    """Train in the folder, which must succeed; return what was printed."""
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle `shapes` and the data `images`."""
    folder = tmp_path_factory.mktemp("train")
    write_bundle(folder / "shapes")
    write_images(folder / "images")
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    """A folder of the test's own with both."""
    for name in ("shapes", "images"):
        (tmp_path / name).symlink_to(made / name)
    return tmp_path


def torch_losses(
    pixels: npt.NDArray[Any], labels: npt.NDArray[Any], epochs: int, loss: torch.nn.Module
) -> list[float]:
    """Return the losses of PyTorch's own training of the network, with the same batches."""
    values = {name: torch.tensor(array) for name, array in weights().items()}
    trained = [values[name].requires_grad_() for name in values if name != "body.bias"]
    optimizer = torch.optim.AdamW(trained, lr=RATE)
    found = []
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng(SEED * 1_000_003 + epoch).permutation(len(labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            x = torch.tensor(pixels[rows]).flatten(1)
            hidden = torch.relu(x @ values["body.weight"] + values["body.bias"])
            logits = hidden @ values["head.weight"] + values["head.bias"]
            step = loss(logits, torch.tensor(labels[rows]))
            optimizer.zero_grad()
            step.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            found.append(step.item())
    return found


def test_it_learns_what_pytorch_learns_and_writes_all_of_it(work: Path) -> None:
    before = contents(work / "shapes")
    out = call(work, "shapes", "--data", "images", "--epochs", "4")
    assert contents(work / "shapes") == before
    folder = work / "shapes-trained"
    assert names(folder) == ["checkpoint", "inference.onnx", "loss.svg", "training.json"]
    found = record(folder)
    described = json.loads((work / "shapes" / "manifest.json").read_text())["training"]["data"]
    examples = read_examples(work / "images", described, work / "shapes", LABELS, "cross-entropy")
    split = by_class(examples.targets, LABELS, 0.2, SEED)
    assert len(split.held) == 12
    expected = torch_losses(
        examples.inputs["pixel_values"][split.learned],
        examples.targets[split.learned],
        4,
        torch.nn.CrossEntropyLoss(),
    )
    assert found["history"]["losses"] == pytest.approx(expected, abs=1e-5)
    assert found["history"]["ends"] == [6, 12, 18, 24]
    judged = found["history"]["judged"]
    assert [item["step"] for item in judged] == [0, 6, 12, 18, 24]
    assert judged[-1]["accuracy"] > 0.9 > judged[0]["accuracy"]
    # The exported model gives the accuracy that was told, in the onnxruntime of today.
    session = onnxruntime.InferenceSession(str(folder / "inference.onnx"))
    (logits,) = session.run(
        ["logits"], {"pixel_values": examples.inputs["pixel_values"][split.held]}
    )
    right = float(np.mean(logits.argmax(1) == examples.targets[split.held]))
    assert right == pytest.approx(judged[-1]["accuracy"])
    assert found["data"]["learned_from"] == dict.fromkeys(LABELS, 16)
    assert found["data"]["held_out"] == dict.fromkeys(LABELS, 4)
    for told in (
        "before training: held out: loss",
        "epoch 4 of 4: loss",
        "bar                    16         4",
        f"{judged[0]['accuracy']:.1%} -> {judged[-1]['accuracy']:.1%}",
        "try it: shapes-trained/inference.onnx",
        "go on: olive-build train shapes --data images --resume shapes-trained/checkpoint",
    ):
        assert told in out
    picture = ET.parse(folder / "loss.svg").getroot()
    assert "loss over 24 steps" in "".join(picture.itertext())


def test_going_on_is_as_if_it_had_never_stopped(work: Path) -> None:
    call(work, "shapes", "--data", "images", "--epochs", "4", "--output", "whole")
    call(work, "shapes", "--data", "images", "--epochs", "2", "--output", "parts")
    arguments = ("--resume", "parts/checkpoint", "--epochs", "2", "--output", "parts")
    out = call(work, "shapes", "--data", "images", *arguments)
    assert "--data images --resume parts/checkpoint --output parts\n" in out
    for name in ("checkpoint", "inference.onnx", "loss.svg"):
        assert (work / "parts" / name).read_bytes() == (work / "whole" / name).read_bytes()
    assert record(work / "parts")["history"] == record(work / "whole")["history"]


def test_settings_of_the_first_part_hold_for_the_next(work: Path) -> None:
    typed = ("--batch-size", "4", "--learning-rate", "0.002", "--seed", "9", "--hold-out", "0.1")
    call(work, "shapes", "--data", "images", "--epochs", "1", *typed)
    again = ("--resume", "shapes-trained/checkpoint", "--output", "more")
    out = call(work, "shapes", "--data", "images", *again)
    first, second = record(work / "shapes-trained"), record(work / "more")
    assert second["settings"] == {**first["settings"], "epochs": 3}  # the recipe's, once more
    assert first["settings"]["learning_rate"] == 0.002
    assert "the data is not that" not in out
    write_images(work / "others", seed=8)
    out = call(work, "shapes", "--data", "others", *again)
    assert "the data is not that of the earlier training" in out


def test_json_has_an_event_a_line(work: Path) -> None:
    out = call(work, "shapes", "--data", "images", "--epochs", "1", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [next(iter(event)) for event in events]
    assert kinds == ["evaluated", *["step"] * 6, "evaluated", "saved", "done", "trained"]
    assert events[1].keys() >= {"step", "steps", "epoch", "epochs", "loss", "milliseconds"}
    assert events[-1]["trained"]["output"] == "shapes-trained"


def test_too_few_to_hold_out_is_said(work: Path) -> None:
    write_images(work / "few", (2, 20, 20))
    out = call(work, "shapes", "--data", "few", "--epochs", "1")
    assert "nothing is held out: of 2 examples of 'bar', a share of 0.2 is 0" in out
    assert "before training" not in out
    assert "epoch 1 of 1: loss" in out
    assert "held out and right" not in out
    assert record(work / "shapes-trained")["history"]["judged"] == []


def test_other_losses_and_a_batch_that_is_fixed(tmp_path: Path) -> None:
    """The loss is of the last output, numbers come from a table, the input has another name."""
    tiny = Tiny(batch=4, loss=Loss("mse"), smoke=True, outputs=("hidden", "logits"), input="x")
    write_bundle(tmp_path / "shapes", tiny)
    data = write_images(tmp_path / "images", (6, 6, 6))
    rows = [
        f"{label}/{number:03}.pgm,{number} {place} -1"
        for place, label in enumerate(LABELS)
        for number in range(6)
    ]
    (data / "labels.csv").write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    out = call(tmp_path, "shapes", "--data", "images", "--hold-out", "0.3")
    assert "a miniature: it shows that training runs" in out
    history = record(tmp_path / "shapes-trained")["history"]
    assert history["ends"] == [3, 6, 9]  # 13 learned from, four a step
    assert all(item["accuracy"] is None for item in history["judged"])
    assert history["judged"][-1]["loss"] < history["judged"][0]["loss"]
    assert "% right" not in out


def test_ctrl_c_keeps_the_epochs_that_were_finished(work: Path) -> None:
    words = command("shapes", "--data", "images", "--epochs", "2000", "--json")
    with subprocess.Popen(
        words, cwd=work, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if '"saved": {"epoch": 3}' in line:
                process.send_signal(signal.SIGINT)
                break
        last = json.loads(process.stdout.read().splitlines()[-1])
        assert process.wait(timeout=60) == 130
    folder = work / "shapes-trained"
    epochs = last["interrupted"]["epochs"]
    assert 3 <= epochs < 2000
    assert last["interrupted"]["output"] == "shapes-trained"
    assert names(folder) == ["checkpoint", "loss.svg", "training.json"]
    assert names(work) == ["images", "shapes", "shapes-trained"]  # no work folder is left
    kept = record(folder)
    assert len(kept["history"]["ends"]) == epochs
    assert kept["history"]["ends"][-1] == len(kept["history"]["losses"]) == 6 * epochs
    # What was kept is an epoch's end, and going on from it is exact.
    checkpoint = ("--resume", "shapes-trained/checkpoint")
    call(work, "shapes", "--data", "images", *checkpoint, "--epochs", "1", "--output", "more")
    call(work, "shapes", "--data", "images", "--epochs", str(epochs + 1), "--output", "whole")
    assert (work / "more" / "checkpoint").read_bytes() == (
        work / "whole" / "checkpoint"
    ).read_bytes()


def test_ctrl_c_in_the_first_epoch_writes_nothing(work: Path) -> None:
    rows = [f"{label}/{i:03}.pgm,{label}" for label in LABELS for i in range(20)] * 500
    data = write_images(work / "many")
    (data / "labels.csv").write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    words = command("shapes", "--data", "many", "--batch-size", "1", "--hold-out", "0")
    with subprocess.Popen(
        [*words, "--json"], cwd=work, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        last = json.loads(process.stdout.read().splitlines()[-1])
        assert process.wait(timeout=60) == 130
    assert last == {"interrupted": {"epochs": 0, "output": None}}
    assert names(work) == ["images", "many", "shapes"]


def test_what_was_planned_is_done_by_default_after_a_stop(work: Path) -> None:
    call(work, "shapes", "--data", "images", "--epochs", "2", "--output", "part")
    stopped = record(work / "part")
    stopped["epochs_planned"] = 7
    (work / "part" / "training.json").write_text(json.dumps(stopped), encoding="utf-8")
    call(work, "shapes", "--data", "images", "--resume", "part/checkpoint")
    assert len(record(work / "shapes-trained")["history"]["ends"]) == 7


def test_a_checkpoint_of_a_device_has_no_history(work: Path) -> None:
    call(work, "shapes", "--data", "images", "--epochs", "2")
    shutil.copy(work / "shapes-trained" / "checkpoint", work / "from-a-phone")
    call(work, "shapes", "--data", "images", "--resume", "from-a-phone", "--output", "more")
    first, second = record(work / "shapes-trained"), record(work / "more")
    assert len(second["history"]["ends"]) == 3
    ended, began = first["history"]["judged"][-1], second["history"]["judged"][0]
    assert (began["loss"], began["epoch"]) == (pytest.approx(ended["loss"]), 0)


def test_a_terminal_shows_a_line_that_moves(work: Path) -> None:
    ours, theirs = pty.openpty()
    words = command("shapes", "--data", "images", "--epochs", "400")
    with subprocess.Popen(words, cwd=work, env={**ENVIRONMENT, "NO_COLOR": "1"}, stdout=theirs):
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
    text = seen.decode()
    assert "\r\x1b[2K  epoch " in text
    assert "/2400  loss " in text
    assert " ms a step  " in text
    assert "epoch 400 of 400: loss" in text
