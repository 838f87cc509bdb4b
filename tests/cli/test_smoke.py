"""Every shipped recipe is really built as a miniature, for one of its targets, drawn by the commit.

All of them in all their targets are in tests/slow/test_smoke.py.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from olive_build.build import BuildReport, Options, build
from olive_build.engine.store import Store
from olive_build.plan.types import Request
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if path.name[0] != "_")
NAMES = [path.stem for path in RECIPES]
TIMES = ("latency", "footprint", "footprint-pytorch", "footprint-fp32")


def commit() -> str:
    """Return the commit that is checked out; outside of git always the same text."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def drawn(recipe: str, targets: list[str], by: str) -> str:
    """Return one of a recipe's targets: the same for a commit, another one for others."""
    digest = hashlib.sha256(f"{by} {recipe}".encode()).digest()
    return sorted(targets)[int.from_bytes(digest[:8], "big") % len(targets)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> BuildReport:
    """The build of all of them at once, so that they share workers and steps."""
    requests = []
    for path in RECIPES:
        loaded = load_recipe(path)
        target = drawn(path.stem, list(loaded.recipe.targets), commit())
        requests.append(Request(resolve(loaded, target), path.parent))
    options = Options(outputs=tmp_path_factory.mktemp("smoke"), smoke=True, keep_going=True)
    with Store(shared_cache) as store:
        return build(requests, store, options, report=print)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_builds_as_a_miniature(built: BuildReport, name: str) -> None:
    (bundle,) = (item for item in built.bundles if item.recipe == name)
    assert bundle.error is None, f"{bundle.target}: {bundle.error.render()}"
    assert bundle.status == "published"
    assert bundle.proofs
    assert all(judged.proof.verdict == "passed" for judged in bundle.proofs)
    manifest = json.loads((bundle.folder / "manifest.json").read_text("utf-8"))
    assert manifest["smoke"] is True
    assert manifest["model"]["origin"] == "miniature with seeded weights"
    assert set(manifest["variants"]) == {judged.name for judged in bundle.proofs}


def test_nothing_is_timed(built: BuildReport) -> None:
    ran = {outcome.slot.rpartition("/")[2] for outcome in built.outcomes.values()}
    assert not ran & set(TIMES)


def test_the_draw_is_the_commits_and_comes_to_every_target() -> None:
    targets = ["web", "desktop", "ios"]
    assert drawn("x", targets, "c0ffee") == drawn("x", targets[::-1], "c0ffee")
    assert {drawn("x", targets, str(number)) for number in range(40)} == set(targets)
