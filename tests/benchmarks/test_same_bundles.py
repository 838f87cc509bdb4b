"""Two folders of bundles are held against each other: bytes, records by meaning, READMEs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from same_bundles import differences

MANIFEST = {"files": [{"path": "model.onnx", "sha256": "1"}], "tools": {"onnx": "1.23.2"}}
PROOF = {
    "machine": {"cpu": "one"},
    "variants": {
        "fast": {
            "size_bytes": 2000,
            "latency": {"median": 1.5},
            "gates": [{"figure": "cosine_p1", "limit": 0.98, "value": 0.9999985}],
        }
    },
}


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the same bundle."""
    before = tmp_path / "before" / "recipe" / "desktop"
    before.mkdir(parents=True)
    (before / "model.onnx").write_bytes(b"graph")
    (before / "README.md").write_text("# A model\nOf 2 kB.\n")
    (before / "manifest.json").write_text(json.dumps(MANIFEST))
    (before / "proof.json").write_text(json.dumps(PROOF))
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    return tmp_path / "before", tmp_path / "after"


def changed(path: Path, *keys: str | int, value: Any) -> None:
    """Set a value inside of a JSON file."""
    whole = inner = json.loads(path.read_bytes())
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(whole))


def test_what_is_measured_may_differ_and_the_last_digits_of_figures(
    sides: tuple[Path, Path],
) -> None:
    proof = sides[1] / "recipe/desktop/proof.json"
    changed(proof, "machine", "cpu", value="another")
    changed(proof, "variants", "fast", "latency", "median", value=9.0)
    changed(proof, "variants", "fast", "gates", 0, "value", value=0.9999984)
    assert list(differences(*sides)) == []


def test_bytes_limits_figures_and_texts_are_compared(sides: tuple[Path, Path]) -> None:
    bundle = sides[1] / "recipe/desktop"
    (bundle / "model.onnx").write_bytes(b"grapf")
    (bundle / "README.md").write_text("# A model\nOf 3 kB.\n")
    (bundle / "extra").write_text("")
    changed(bundle / "proof.json", "variants", "fast", "gates", 0, "limit", value=0.9)
    changed(bundle / "proof.json", "variants", "fast", "gates", 0, "value", value=0.98)
    changed(bundle / "proof.json", "variants", "fast", "note", value="new")
    assert list(differences(*sides)) == [
        "recipe/desktop/README.md: -Of 2 kB.",
        "recipe/desktop/README.md: +Of 3 kB.",
        "recipe/desktop/extra: only after",
        "recipe/desktop/model.onnx: its bytes differ",
        "recipe/desktop/proof.json: variants.fast.gates.cosine_p1.limit was 0.98 and is 0.9",
        "recipe/desktop/proof.json: variants.fast.gates.cosine_p1.value was 0.9999985 and is 0.98",
        "recipe/desktop/proof.json: variants.fast.note is there only after: 'new'",
    ]
