"""A section of a joined folder decides what is built: nodes, files and the README of a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.extending.test_figure import ran

RECIPE = {
    "recipe": 1,
    "name": "it",
    "description": "A small model",
    "model": {
        "family": "sentence-embedding",
        "licence": "MIT",
        "source": "path",
        "sources": {"path": {"folder": "model"}},
    },
    "targets": {"desktop": {}},
}
PROGRAM = """
import json
from olive_build.bundle.assemble import _all_files
from olive_build.bundle.purpose import purpose_in, purpose_of
from olive_build.bundle.readme import readme
from olive_build.plan.planner import make_plan
from olive_build.plan.types import Inspected, Model
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve
from tests.plan.test_plan import FACTS, samples
build = resolve(load_recipe(Path({path!r})), "desktop")
model = Model("/models/minilm", "a" * 64, "package x", "1.0", FACTS)
plan = make_plan([Inspected(build, model, samples("d", "c"))], smoke=True)
(bundle,) = plan.bundles
nodes = {{node.slot: repr(node.step) for node in plan.graph.nodes if node.id in bundle.nodes()}}
print(json.dumps({{
    "variants": [item.variant.name for item in bundle.variants],
    "nodes": nodes,
    "files": [placed.path for placed in _all_files(bundle)],
    "purpose": type(purpose_of(build)).__name__,
}}))
"""


@pytest.fixture
def planned(tmp_path: Path) -> Any:
    def run(**sections: Any) -> Any:
        (tmp_path / "model").mkdir(exist_ok=True)
        path = tmp_path / "it.yaml"
        path.write_text(json.dumps(RECIPE | sections), encoding="utf-8")
        return ran(PROGRAM.format(path=str(path)))

    return run


def test_what_it_builds_has_a_node_and_a_file_more(planned: Any) -> None:
    found = planned(inventory={"sizes": True})
    assert found["variants"] == ["plain"]
    assert found["nodes"]["it/plain/inventory"] == "ListFiles(sizes=True)"
    assert "inventory.json" in found["files"] and "plain/model.onnx" in found["files"]
    assert found["purpose"] == "WithInventory"


def test_a_recipe_without_it_is_built_as_ever(planned: Any) -> None:
    found = planned(targets={"desktop": {"variants": ["int8"]}})
    assert found["variants"] == ["int8"] and "inventory.json" not in found["files"]
    assert not any("inventory" in slot for slot in found["nodes"])
    assert found["purpose"] == "Purpose"
