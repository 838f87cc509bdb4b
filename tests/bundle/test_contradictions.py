"""A proof that contradicts itself or its manifest is found without running a file."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest_data, proof_data

from olive_build.bundle.verify import contradictions
from olive_build.record.codec import decode
from olive_build.record.manifest import Manifest
from olive_build.record.proof import Proof

MANIFEST: dict[str, Any] = {
    "variants": {
        "int8": {"files": {"onnx": "a.onnx", "ort": "a.ort", "required_operators": "a.config"}},
        "parts": {"files": {"encoder": "e.onnx", "decoder": "d.onnx"}},
    },
    "files": [
        {"path": path, "size_bytes": size, "sha256": "0" * 64}
        for path, size in (
            ("a.onnx", 5),
            ("a.ort", 7),
            ("a.config", 9),
            ("e.onnx", 2),
            ("d.onnx", 3),
        )
    ],
}
PROOF: dict[str, Any] = {
    "variants": {
        name: {
            "verdict": "passed",
            "size_bytes": size,
            "limits": {"cosine_p1": 0.98, "size_mb": 1.0},
            "quality": {"onnx": {"cosine_p1": 0.99}},
        }
        for name, size in (("int8", 7), ("parts", 5))
    }
}


def found(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> list[str]:
    manifest, proof = deepcopy(MANIFEST), deepcopy(PROOF)
    change(manifest, proof["variants"])
    made = decode(Manifest, manifest_data(manifest))
    return list(contradictions(made, decode(Proof, proof_data(proof))))


def test_a_proof_as_it_is_written_has_none() -> None:
    assert found(lambda _, __: None) == []
    assert found(lambda _, p: p["int8"].update(verdict="undecided")) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _, p: p["int8"].update(verdict="failed"), "int8: its verdict is 'failed'"),
        (
            lambda _, p: p["int8"].update(limits={}),
            "int8: no limit is set on the quality of its onnx",
        ),
        (lambda _, p: p["int8"].update(limits={"size_mb": 1.0}), "int8: no limit is set on the"),
        (lambda _, p: p["int8"]["limits"].update(cosine_p1=math.nan), "at least nan: failed"),
        (lambda _, p: p["int8"]["limits"].update(cosine_p1=-math.inf), "at least -inf: passed"),
        (
            lambda _, p: p["int8"]["quality"]["onnx"].update(cosine_p1=0.1),
            "cosine_p1 0.1, at least",
        ),
        (lambda _, p: p["int8"]["quality"]["onnx"].update(cosine_p1=math.nan), "cosine_p1 nan, at"),
        (lambda _, p: p["int8"].update(size_bytes=5), "int8: its files have 7 bytes, not 5"),
        (lambda _, p: p["parts"].update(size_bytes=3), "parts: its files have 5 bytes, not 3"),
    ],
)
def test_what_does_not_follow_is_told(
    change: Callable[[dict[str, Any], dict[str, Any]], object], told: str
) -> None:
    assert any(told in problem for problem in found(change))
