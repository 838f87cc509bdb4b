"""The environment that a phone has, and models for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
ROOT = Path(__file__).resolve().parents[2]
RECIPE = "whisper-digits"


@pytest.fixture(scope="session")
def bare_python() -> Path:
    """A Python that has onnxruntime, onnxruntime-extensions and numpy, and nothing else."""
    from bare_environment import bare_environment

    return bare_environment()


@pytest.fixture(scope="session")
def speech_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small graphs with the signature of a single-file Whisper, by what they take."""
    from speech_graph import INPUTS, speech_graph

    folder = tmp_path_factory.mktemp("speech")
    return {takes: speech_graph(folder / f"{takes}.onnx", takes) for takes in INPUTS}


@pytest.fixture(scope="session")
def host(bare_python: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run examples/bare_host.py in the bare environment, with these words."""
    from bare_run import HOST, call

    return lambda *words: call(bare_python, HOST, *words)


@pytest.fixture(scope="session")
def built_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The real single files of the recipe's bundle for Android, by variant, built cold."""
    outputs = tmp_path_factory.mktemp("outputs")
    words = ["build", RECIPE, "--target", "android", "--set", "verify.timing=false"]
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", *words, "--outputs", str(outputs)],
        cwd=ROOT,
        env={**os.environ, "OLIVE_BUILD_CACHE": str(tmp_path_factory.mktemp("cache"))},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = outputs / RECIPE / "android"
    variants = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["variants"]
    return {name: bundle / variant["files"]["onnx"] for name, variant in variants.items()}
