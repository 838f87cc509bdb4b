"""A toy: the files of a model, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step, write_json


@dataclass(frozen=True)
class ListFiles(Step):
    """Write inventory.json: what lies in the model's folder. Inputs: source (that folder)."""

    sizes: bool

    worker = "onnxruntime"
    stage = "export"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        files = sorted(path for path in inputs["source"].rglob("*") if path.is_file())
        found = {path.name: path.stat().st_size if self.sizes else None for path in files}
        write_json(out / "inventory.json", found)
