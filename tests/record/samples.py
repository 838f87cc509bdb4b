"""Manifests and proofs for tests: what a test says, and sound values for what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olive_build.record.codec import decode
from olive_build.record.manifest import Manifest, Value
from olive_build.record.proof import Limits, VariantProof

GRAPH: dict[str, Any] = {
    "inputs": [],
    "outputs": [],
    "ir_version": 8,
    "opsets": {"ai.onnx": 18},
    "operators": {},
    "stored_values": 0,
}
VARIANT = {**GRAPH, "precision": "int8", "quantize": None, "files": {"onnx": "int8/model.onnx"}}
MODEL = {
    "family": "sentence-embedding",
    "origin": "folder",
    "revision": "",
    "digest": "0",
    "licence": "MIT",
    "options": {},
}
TRAINING: dict[str, Any] = {
    "inputs": [{"name": "input", "type": "float32", "axes": ["batch_size", 4]}],
    "target": {"name": "labels", "type": "int64", "axes": ["batch_size"]},
    "outputs": ["logits"],
    "labels": ["no", "yes"],
    "trainable": [],
    "frozen": [],
    "patterns": {},
    "data": {},
    "files": {
        "training_model": "training/training_model.onnx",
        "eval_model": "training/eval_model.onnx",
        "optimizer_model": "training/optimizer_model.onnx",
        "checkpoint": "training/checkpoint",
    },
    "loss": {"name": "cross-entropy", "class_weights": [], "output": None},
    "optimizer": {
        "name": "adamw",
        "lr": 0.001,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.01,
    },
    "batch_size": 8,
    "epochs": 1,
    "seed": 0,
    "trainable_values": 0,
}
MANIFEST: dict[str, Any] = {
    "manifest_version": 1,
    "recipe": "small",
    "description": "A small model",
    "smoke": False,
    "target": "desktop",
    "provider": "cpu",
    "execution_provider": "CPUExecutionProvider",
    "status": "proved: run by its own provider",
    "model": MODEL,
    "variants": {"int8": {}},
    "runtime": {"execution_provider": "CPUExecutionProvider", "packages": []},
    "tools": {},
    "files": [],
}
MACHINE = {
    "architecture": "x86_64",
    "cores": 2,
    "cpu": "A processor",
    "features": ["avx2"],
    "fingerprint": "0123456789abcdef",
    "system": "Linux",
}
PROOF: dict[str, Any] = {
    "proof_version": 2,
    "status": "proved: run by its own provider",
    "machine": MACHINE,
    "variants": {"int8": {}},
}
PROVED: dict[str, Any] = {
    "verdict": "passed",
    "limits": {},
    "quality": {},
    "gates": [],
    "size_bytes": 1,
    "fp32_bytes": 4,
}


def manifest_data(said: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a manifest's JSON, what is not said filled in."""
    found = {**MANIFEST, **(said or {})}
    found["model"] = {**MODEL, **found["model"]}
    found["variants"] = {name: {**VARIANT, **item} for name, item in found["variants"].items()}
    if "training" in found:
        found["training"] = {**TRAINING, **found["training"]}
    return found


def proof_data(said: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a proof's JSON, what is not said filled in."""
    found = {**PROOF, **(said or {})}
    found["variants"] = {name: {**PROVED, **item} for name, item in found["variants"].items()}
    return found


def manifest(said: Mapping[str, Any] | None = None) -> Manifest:
    """Return a manifest, what is not said filled in."""
    return decode(Manifest, _json(manifest_data(said)))


def variant_proof(said: Mapping[str, Any] | None = None) -> VariantProof:
    """Return a variant's proof, what is not said filled in."""
    return decode(VariantProof, _json({**PROVED, **(said or {})}))


def limits(said: Mapping[str, Any]) -> Limits:
    """Return limits as a proof has them."""
    return decode(Limits, _json(said))


def value(name: str, kind: str, *axes: int | str) -> Value:
    """Return an input or output."""
    return Value(name, kind, axes)


def _json(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {key: _json(item) for key, item in found.items()}
    return [_json(item) for item in found] if isinstance(found, (list, tuple)) else found
