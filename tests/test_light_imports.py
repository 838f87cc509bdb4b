"""What the quick verbs import is light: seconds of start-up begin with one import at a file's top.

The layer contract cannot see this: to it an import inside a function is one like any other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("numpy", "olive", "onnx", "onnxruntime", "pandas", "tokenizers", "torch", "transformers")
# Rooms that work on models: imported in workers, or inside the function that needs them.
MAY_BE_HEAVY = (
    "olive_build.attribution.",
    "olive_build.calibration.",
    "olive_build.clients.",
    "olive_build.families.",
    "olive_build.proof.",
    "olive_build.methods.algorithms.",
    "olive_build.onnx_files.models",
    "olive_build.rewrites.",
    "olive_build.steps.model_check",
    "olive_build.tasks._drawing",
    "olive_build.tokenizers.",
    "olive_build.training.",
)
# Of those, these are read where nothing is built.
LIGHT_ALL_THE_SAME = (
    ".spec",
    "olive_build.families.architectures",
    "olive_build.families.folder_checks",
    "olive_build.families.stored_tensors",
    "olive_build.families.weight_files",
    "olive_build.families.weight_files",
    "olive_build.proof.figures",
    "olive_build.tokenizers.kinds",
    "olive_build.training.verdict",
    "olive_build.proof.verdict",
    "olive_build.training.settings",
)

IMPORT_EACH = """
import importlib, json, sys
offenders = {}
for module in json.loads(sys.argv[1]):
    before = set(sys.modules)
    importlib.import_module(module)
    new = sorted((set(sys.modules) - before) & set(json.loads(sys.argv[2])))
    if new:
        offenders[module] = new
print(json.dumps(offenders))
"""
RUN_VERB = """
import json, sys
from olive_build.cli import main
heavy = json.loads(sys.argv.pop())
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps(sorted(set(sys.modules) & set(heavy))))
"""


def light_modules() -> list[str]:
    """Return the names of all modules that must not import anything heavy at their top."""
    paths = (ROOT / "olive_build").rglob("*.py")
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    return sorted(
        name
        for name in names
        if not name.startswith(MAY_BE_HEAVY)
        or name.endswith(LIGHT_ALL_THE_SAME)
        or name.startswith("olive_build.proof.figures.")
    )


def run(script: str, *arguments: str) -> list[str]:
    """Return the lines that `script` prints in a fresh Python."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120
    )
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def test_no_light_module_imports_anything_heavy_at_its_top() -> None:
    modules = light_modules()
    assert {"olive_build.cli", "olive_build.plan.planner", "olive_build.engine.run"} < set(modules)
    assert json.loads(run(IMPORT_EACH, json.dumps(modules), json.dumps(HEAVY))[-1]) == {}


@pytest.mark.parametrize(
    ("verb", "unwanted"),
    [
        ("--help", (*HEAVY, "pydantic", "yaml")),
        ("list", (*HEAVY, "pydantic", "yaml")),
        ("validate", HEAVY),
        ("schema --check", HEAVY),
    ],
)
def test_a_verb_that_builds_nothing_stays_light(verb: str, unwanted: tuple[str, ...]) -> None:
    assert json.loads(run(RUN_VERB, *verb.split(), json.dumps(unwanted))[-1]) == []
