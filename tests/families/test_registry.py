"""Families are found by walking their room: each in a folder of its own, or a task in a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from olive_build.families.registry import FAMILIES

FOLDERS = Path(__file__).resolve().parents[2] / "olive_build" / "families"
TASKS = FOLDERS.with_name("tasks")
FAMILY = """
from olive_build.families.registry import Family

FAMILY = Family(
    name="toy-model", tasks=("toying",), samples="toys", takes=("a", "a"),
    size_unit="toys", description="Toys", metrics=("logits",), data_suffix=".npz",
)
"""
JOINED = """
import sys
from pathlib import Path
from olive_build import rooms
from olive_build.families.registry import FAMILIES, family_of_task
before = list(FAMILIES)
rooms.extend(Path(sys.argv[1]))
assert "toy-model" not in before and family_of_task("toying") is FAMILIES["toy-model"]
assert set(before) < set(FAMILIES)
"""


def test_each_folder_is_the_family_of_its_name() -> None:
    folders = {path.parent.name for path in FOLDERS.glob("*/family.py")}
    tasks = {path.stem for path in TASKS.glob("[!_]*.py")}
    assert {name.replace("-", "_") for name in FAMILIES} == folders | tasks
    assert all(name == family.name for name, family in FAMILIES.items())


def test_the_family_of_another_folder_is_found_too(tmp_path: Path) -> None:
    folder = tmp_path / "families" / "toy_model"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "family.py").write_text(FAMILY, encoding="utf-8")
    subprocess.run([sys.executable, "-c", JOINED, str(tmp_path)], check=True)
