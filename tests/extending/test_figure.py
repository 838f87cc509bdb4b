"""A figure of a folder that a program joins is one like ours, from the recipe to the report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.extending.test_verb import TOY, called
from tests.report.small_bundle import variant, write_bundle

RECIPE = """recipe: 1
name: it
description: A small model
model:
  task: feature-extraction
  licence: MIT
  source: path
  sources: {path: {folder: model}}
verify: {budgets: {int8: {evenness: %s}}}
targets: {desktop: {variants: [int8]}}
"""
JOINED = "import sys\nfrom pathlib import Path\nfrom olive_build import rooms\n"
JOINED += f"rooms.extend(Path({str(TOY)!r}))\n"


def ran(program: str) -> Any:
    """Return what a program prints as JSON that has joined the folder."""
    command = [sys.executable, "-c", JOINED + program]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def validated(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Validate a recipe that has a budget of it."""
    (tmp_path / "recipes" / "model").mkdir(parents=True)

    def run(limit: str, folder: Path = TOY) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "recipes" / "it.yaml"
        path.write_text(RECIPE % limit, encoding="utf-8")
        return called("validate", str(path), folder=folder)

    return run


def test_a_recipe_may_limit_it(
    tmp_path: Path, validated: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert validated("0.95").returncode == 0, validated("0.95").stderr
    assert "'evenness: 0.4' of 'int8' is looser than the shipped 0.5" in validated("0.4").stderr
    beyond = validated("1.5")
    assert (beyond.returncode, "evenness is a share, from 0 to 1" in beyond.stderr) == (2, True)
    unknown = validated("0.95", folder=tmp_path)
    assert (unknown.returncode, "evenness" in unknown.stderr) == (2, True)


def test_it_is_judged_searched_for_and_compared_with_the_build_before() -> None:
    found = ran(
        "import json\n"
        "from olive_build.proof.figures import shipped\n"
        "from olive_build.proof.regression import regression_gates\n"
        "from olive_build.proof.verdict import quality_gates\n"
        "from olive_build.recipe.build import Budgets\n"
        "from olive_build.record.proof import Summary\n"
        "from olive_build.search.goal import Goal\n"
        "limits = shipped(('cosine',), 'int8', 'faithful')\n"
        "(gate,) = quality_gates({'evenness': 0.8}, {'evenness': limits['evenness']})\n"
        "old, new = (Summary(1, {'evenness': value}, (), ()) for value in (0.9, 0.8))\n"
        "facts = {'same_machine': False, 'same_inputs': True}\n"
        "lost = regression_gates(new, old, {'quality': 0.05}, **facts)\n"
        "goal = Goal(Budgets.of(limits), {}, gated_speed=False)\n"
        "standing = goal.standing({'evenness': 0.7, 'cosine_p1': 1.0}, 0.2, 1.0, None)\n"
        "print(json.dumps([gate.text(), lost[0].text(), standing.limit, standing.holds]))\n"
    )
    assert found == [
        "evenness 0.8, at least 0.9: failed",
        "regression of quality 0.1, at most 0.05: failed (evenness)",
        "evenness",
        False,
    ]


def test_the_schema_and_the_documents_have_it() -> None:
    schema, fields, floors = ran(
        "import json\n"
        "from olive_build.recipe.docs import region\n"
        "from olive_build.recipe.schema import recipe_schema\n"
        "spec = recipe_schema()['$defs']['BudgetsSpec']['properties']['evenness']\n"
        "told = region('fields of verify.budgets'), region('shipped budgets')\n"
        "print(json.dumps([spec, *told]))\n"
    )
    assert schema["description"] == "The least ratio of a vector's length to that of PyTorch's."
    assert "| `evenness` | number | - | The least ratio of a vector's length" in fields
    assert "| `sentence-embedding` | `evenness` | at least | - | - | 0.5 |" in floors


def test_a_file_is_measured_by_it() -> None:
    found = ran(
        "import json\n"
        "import numpy as np\n"
        "from olive_build.proof.references.embedding import EmbeddingReference\n"
        "from olive_build.proof.quality import Outputs, quality_of\n"
        "rows = np.eye(4, dtype=np.float32)\n"
        "tokens = tuple(np.arange(2) for _ in rows)\n"
        "reference = EmbeddingReference(tuple('abcd'), tokens, rows, 'mean', True)\n"
        "print(json.dumps(quality_of(Outputs(rows, 0.75 * rows), reference).as_json()))\n"
    )
    values = found["evenness"], found["single"]["evenness"], found["batched"]["evenness"]
    assert values == (0.75, 1.0, 0.75)


def test_a_kind_of_reference_of_its_own_is_stored_and_read_with_its_figures() -> None:
    found = ran(
        "import json, tempfile\n"
        "import numpy as np\n"
        "from olive_build import rooms\n"
        "from olive_build.proof.quality import Outputs, quality_of\n"
        "from olive_build.proof.reference import read_reference, write_reference\n"
        "rows = np.eye(4, dtype=np.float32)\n"
        "tokens = tuple(np.arange(2) for _ in rows)\n"
        "kind = rooms.module('proof.references', 'lengths').REFERENCE\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    write_reference(kind(tuple('abcd'), tokens, rows, 'mean', True), Path(folder))\n"
        "    reference = read_reference(Path(folder))\n"
        "print(json.dumps(quality_of(Outputs(rows, 0.75 * rows), reference).as_json()))\n"
    )
    assert found["batched"] == {"longest_difference": 0.25, "evenness": 0.75}
    assert (found["longest_difference"], found["evenness"]) == (0.25, 0.75)


def test_its_code_is_in_the_key_of_the_step_that_measures() -> None:
    files = ran(
        "import json\n"
        "from olive_build.engine.reach import reached\n"
        "found = reached('olive_build.steps.quality:MeasureQuality')\n"
        "print(json.dumps(list(found.files)))\n"
    )
    assert {"proof/figures/evenness.py", "proof/figures/similarity.py"} <= {*files}


def test_tables_and_pages_show_it(tmp_path: Path) -> None:
    proved = [variant(0.99, 25_000_000, None) for _ in range(2)]
    for value, item in zip((0.91, 0.82), proved, strict=True):
        item["quality"]["onnx"]["evenness"] = value
    old, new = (
        write_bundle(tmp_path / name, {"int8": item})
        for name, item in zip(("old", "new"), proved, strict=True)
    )
    page = tmp_path / "page.html"
    done = called("report", str(old), str(new), "--output", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "evenness of lengths" in text
    assert "82.00 %" in text
    assert "int8.onnx: evenness  0.91  0.82" in called("diff", str(old), str(new)).stdout
    alone = tmp_path / "alone.html"
    assert called("report", str(new), "--output", str(alone)).returncode == 0
    assert ">Even<" in alone.read_text(encoding="utf-8")


def test_a_figure_of_cost_is_judged_by_what_a_proof_records() -> None:
    found = ran(
        "import json\n"
        "from olive_build.proof.verdict import gates_of\n"
        "from olive_build.record.proof import Limits, VariantProof\n"
        "limits = Limits({'size_kb': 25.0, 'size_ratio': 0.5})\n"
        "proof = VariantProof('passed', limits, {}, (), 26_000, 100_000)\n"
        "gates = gates_of(proof, is_fp32_graph=True, waived=None, absent='')\n"
        "print(json.dumps([gate.text() for gate in gates]))\n"
    )
    assert found == ["size_kb 26, at most 25: failed"]
