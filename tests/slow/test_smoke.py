"""Every shipped recipe for every target of its own, built as a miniature: `make smoke`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from olive_build.recipe.load import load_recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if path.name[0] != "_")
CASES = [(path.stem, target) for path in RECIPES for target in load_recipe(path).recipe.targets]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """What became of each recipe and target."""
    base = tmp_path_factory.mktemp("smoke")
    names = [path.stem for path in RECIPES]
    words = ["build", *names, "--smoke", "--keep-going", "--json", "--outputs", str(base / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OLIVE_BUILD_CACHE": str(base / "cache")},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr
    return {(item["recipe"], item["target"]): item for item in json.loads(done.stdout)["bundles"]}


@pytest.mark.parametrize(("recipe", "target"), CASES)
def test_a_recipe_builds_as_a_miniature(
    built: dict[tuple[str, str], Any], recipe: str, target: str
) -> None:
    bundle = built[recipe, target]
    assert bundle["error"] is None
    assert bundle["status"] == "published"
    assert all(variant["verdict"] == "passed" for variant in bundle["variants"].values())
