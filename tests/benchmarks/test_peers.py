"""The peers' comparison, on tiny real ONNX files: same work for every candidate, honest figures."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from olive_build.errors import OliveBuildError
from olive_build.proof.contestant import Process
from olive_build.proof.embedding import pool
from olive_build.proof.references.embedding import EmbeddingReference

PEERS = Path(__file__).resolve().parents[2] / "benchmarks" / "peers"
sys.path.insert(0, str(PEERS))
import compare  # noqa: E402
import environments  # noqa: E402
import produce  # noqa: E402

WORDS = ["pad", "unknown", *(f"w{i}" for i in range(30))]
TEXTS = [" ".join(f"w{(i * 7 + j) % 30}" for j in range(1 + i % 9)) for i in range(40)]
TABLE = np.random.default_rng(3).normal(size=(len(WORDS), 12)).astype(np.float32)


def write_model(path: Path, table: np.ndarray) -> None:
    """Write a model whose hidden state is a row of the table for each token."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["hidden"])],
        "table",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])],
        [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["b", "s", table.shape[1]])],
        [numpy_helper.from_array(table, "table")],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, Any]:
    """What every candidate is told: a tokenizer whose own padding and truncation would mislead."""
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="unknown"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return {
        "tokenizer": str(tmp_path / "tokenizer.json"),
        "max_length": 16,
        "pooling": "mean",
        "normalize": True,
    }


@pytest.fixture
def reference() -> EmbeddingReference:
    """The texts with the vectors that the exact table gives."""
    ids = [np.array([WORDS.index(word) for word in text.split()]) for text in TEXTS]
    ones = [np.ones((1, len(row)), np.int64) for row in ids]
    vectors = [
        pool(TABLE[row][None], mask, "mean", True)[0] for row, mask in zip(ids, ones, strict=True)
    ]
    return EmbeddingReference(tuple(TEXTS), tuple(ids), np.stack(vectors), "mean", True)


def entry(name: str, model: Path, shared: dict[str, Any]) -> compare.Entry:
    told = {**shared, "kind": "onnx", "model": str(model)}
    return compare.Entry(name, sys.executable, told, model.stat().st_size, "test 1")


def test_fidelity_and_speed_of_two_models(
    tmp_path: Path,
    shared: dict[str, Any],
    reference: EmbeddingReference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = np.random.default_rng(4).normal(size=TABLE.shape).astype(np.float32)
    write_model(tmp_path / "exact.onnx", TABLE)
    write_model(tmp_path / "rough.onnx", TABLE + 0.2 * noise)
    monkeypatch.setattr(compare, "text_of", lambda _, count: " ".join(["w1"] * count))
    monkeypatch.setattr(compare, "TOKENS", (4,))
    monkeypatch.setattr(compare, "THREADS", (1,))
    entries = [entry(name, tmp_path / f"{name}.onnx", shared) for name in ("exact", "rough")]
    results, failed = compare.measure(entries, reference, tmp_path)
    assert not failed
    exact, rough = results["exact"]["fidelity"], results["rough"]["fidelity"]
    for run in ("single", "batched"):
        assert exact[run]["cosine_lowest"] == pytest.approx(1, abs=1e-6)
        assert 0.5 < rough[run]["cosine_lowest"] < rough[run]["cosine_mean"] < 0.999
        # Padding counts for nothing, so a batch of other lengths gives the same vectors.
        assert rough[run] == pytest.approx(rough["single"], abs=1e-6)
    assert results["exact"]["speed"][0]["times_pytorch"] is None
    assert results["rough"]["speed"][0]["times_pytorch"]["median"] > 0
    assert results["rough"]["speed"][0]["milliseconds"]["median"] > 0


def test_the_tables_hold_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    figures = dict.fromkeys(compare.FIGURES, 0.98765)
    spread = {"median": 2.0, "low": 1.9, "high": 2.1}
    results = {
        name: {
            "version": "test 1",
            "size_bytes": 25_000_000,
            "fidelity": {"single": figures, "batched": figures},
            "speed": [
                {
                    "tokens": tokens,
                    "threads": threads,
                    "milliseconds": {"median": 12.5},
                    "times_pytorch": ratio,
                    "noisy": False,
                }
                for tokens in compare.TOKENS
                for threads in compare.THREADS
            ],
        }
        for name, ratio in (("pytorch", None), ("peer", spread))
    }
    compare.show(results, 100_000_000)
    text = capsys.readouterr().out
    for part in ("25.0 MB", "25.0%", "0.98765", "12.50 ms", "2.00 (1.90 to 2.10)"):
        assert part in text


def test_a_candidate_that_cannot_run_does_not_stop_the_others(
    tmp_path: Path,
    shared: dict[str, Any],
    reference: EmbeddingReference,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_model(tmp_path / "good.onnx", TABLE)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    monkeypatch.setattr(compare, "text_of", lambda _, count: " ".join(["w1"] * count))
    monkeypatch.setattr(compare, "TOKENS", (4,))
    monkeypatch.setattr(compare, "THREADS", (1,))
    entries = [entry(name, tmp_path / f"{name}.onnx", shared) for name in ("good", "bad")]
    results, failed = compare.measure(entries, reference, tmp_path)
    assert failed
    assert list(results) == ["good"]
    assert "bad cannot be run" in capfd.readouterr().err


def test_a_text_of_another_length_is_not_timed(tmp_path: Path, shared: dict[str, Any]) -> None:
    write_model(tmp_path / "good.onnx", TABLE)
    found = entry("good", tmp_path / "good.onnx", shared)
    child = Process(found, found.command)
    with pytest.raises(OliveBuildError):
        child.ask({"do": "setup", "threads": 1, "text": "w1 w2", "tokens": 4})
    child.close()


def test_loading_and_memory_are_measured(tmp_path: Path, shared: dict[str, Any]) -> None:
    write_model(tmp_path / "good.onnx", TABLE)
    found = entry("good", tmp_path / "good.onnx", shared)
    child = Process(found, found.command)
    assert child.milliseconds({"do": "load", "threads": 1}) > 0
    setup = {"do": "setup", "threads": 1, "text": "w1 w2", "tokens": 2, "batch": 3}
    assert child.ask(setup) == {}
    timed = child.ask({"do": "time", "seconds": 0.01, "samples": True})
    assert min(timed["samples"]) <= timed["milliseconds"] <= max(timed["samples"])
    memory = child.ask({"do": "memory"})
    assert memory["peak_bytes"] >= memory["baseline_bytes"] > 0
    child.close()


def test_a_peer_without_a_model_is_named(
    tmp_path: Path, shared: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "peers" / "optimum" / "tiny"
    folder.mkdir(parents=True)
    manifest = {
        "peer": "optimum",
        "version": "optimum-onnx 0.1.0",
        "kind": "onnx",
        "model": "int8/model.onnx",
        "python": sys.executable,
        "size_bytes": 3,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    entries, missing = compare.peer_entries(tmp_path, "tiny", shared)
    assert missing
    assert [item.name for item in entries] == ["optimum"]
    assert entries[0].told["model"] == str(folder / "int8" / "model.onnx")
    assert "nncf: no model" in capsys.readouterr().err


def test_a_size_counts_the_weights_beside_the_file(tmp_path: Path) -> None:
    for name, size in (
        ("model.xml", 10),
        ("model.bin", 100),
        ("model.txt", 1000),
        ("other.bin", 5),
    ):
        (tmp_path / name).write_bytes(b"x" * size)
    assert produce.size_of(tmp_path / "model.xml") == 110


@pytest.mark.parametrize("name", sorted({peer.environment for peer in produce.PEERS}))
def test_a_lock_names_exact_versions_and_no_torch(name: str) -> None:
    lines = (PEERS / f"{name}.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in pins)
    names = [line.partition("==")[0].lower() for line in pins]
    assert len(names) == len(set(names))
    assert "torch" not in names
    assert not [item for item in names if item.startswith(("nvidia", "cuda"))]
    for peer in produce.PEERS:
        if peer.environment == name:
            assert environments.locked_version(name, peer.package)


def test_pips_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "none.lock"
    lock.write_text("no-such-package-at-all==1.0\n")
    monkeypatch.setattr(environments, "HERE", tmp_path)
    words = ["--no-index", "no-such-torch==1.0"]
    with pytest.raises(environments.PeerError, match="no-such-torch"):
        environments.environment("none", words, tmp_path / "envs")
    assert not (tmp_path / "envs" / "none" / environments.STAMP).exists()
