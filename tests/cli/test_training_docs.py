"""What docs/training.md shows is so: its federated averaging runs, its verb and files are ours."""

from __future__ import annotations

import re
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tiny_training import ROOT, code_of_bundle, image, read_manifest, write_bundle

from olive_build.targets import load_target, target_names
from olive_build.toolchains import provision
from olive_build.training.verb.written import OURS

TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
# Two devices learn from classes of their own; then their parameters are averaged as the text says.
DEVICES = """
import onnxruntime
data = np.load("data.npz")
trainers = [Trainer(Path("training"), Path("learned")) for _ in range(2)]
devices, examples = [one.module for one in trainers], [40, 60]
def learn():
    for seen, one in zip(((0, 1), (1, 2)), trainers):
        rows = np.flatnonzero(np.isin(data["labels"], seen))
        for _ in range(5):
            one.step(data["pixels"][rows], data["labels"][rows])
def right(one):
    return np.mean(one.evaluate(data["pixels"], data["labels"]).argmax(1) == data["labels"])
for _ in range(12):
    learn()
"""
AFTER = """
after = [module.get_contiguous_parameters(True).numpy() for module in devices]
np.savez("found.npz", buffers=buffers, after=after, right=right(trainers[0]))
"""


def code(language: str, text: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def test_the_averaging_runs_in_the_training_toolchain(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 30)
    pixels = np.array([image(kind, random) for kind in labels])[:, None]
    np.savez(
        bundle / "data.npz",
        pixels=((pixels / 255 - 0.5) / 0.5).astype(np.float32),
        labels=labels,
    )
    round_of = textwrap.indent(code("python", TEXT), "    ")
    program = code("python", code_of_bundle(read_manifest(bundle))) + DEVICES + round_of
    done = subprocess.run(
        [str(provision.python_of("training")), "-I", "-c", program + AFTER],
        cwd=bundle,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = np.load(bundle / "found.npz")
    first, second = found["buffers"]
    for mine in found["after"]:
        assert mine == pytest.approx(0.4 * first + 0.6 * second, abs=1e-6)
    assert found["right"] > 0.8  # either alone has seen two classes of three


def test_the_table_of_packages_is_that_of_the_targets() -> None:
    for name in target_names():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |"))
        packages = load_target(name).training_packages
        for package in packages:
            assert f"{package.name} {package.lowest}" in row
        assert packages or "none" in row


def test_every_file_of_the_output_is_told() -> None:
    for name in OURS:
        assert f"| `{name}` |" in TEXT
