"""Reading a recipe must stay quick: nothing heavy is imported on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "olive", "transformers")
LOAD = """
from pathlib import Path
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all
assert len(resolve_all(load_recipe(Path({path!r})))) == 6
"""
LIST = """
from pathlib import Path
from olive_build.recipe.find import describe
assert describe(Path({path!r}).parent)
"""


@pytest.mark.parametrize(
    ("script", "unwanted"), [(LOAD, HEAVY), (LIST, (*HEAVY, "pydantic", "yaml", "difflib"))]
)
def test_no_heavy_import(shipped: Path, script: str, unwanted: tuple[str, ...]) -> None:
    check = f"import sys\nprint(sorted(set({unwanted!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script.format(path=str(shipped)) + check],
        cwd=shipped.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
