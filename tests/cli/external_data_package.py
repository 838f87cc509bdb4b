"""A copy of the package whose models have their weights beside their graphs from 20 kB on."""

from __future__ import annotations

import shutil
from pathlib import Path

from tiny_recipe import ROOT

LIMIT = 20_000
CONSTANTS = {
    "EXTERNAL_DATA_BYTES = 1_800_000_000": f"EXTERNAL_DATA_BYTES = {LIMIT}",
}


def package_with_small_limit(folder: Path) -> Path:
    """Copy the package into a folder, lower its constant, and return the folder."""
    shutil.copytree(ROOT / "olive_build", folder / "olive_build")
    path = folder / "olive_build" / "onnx_files" / "models.py"
    text = path.read_text(encoding="utf-8")
    for old, new in CONSTANTS.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return folder
