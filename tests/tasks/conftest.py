"""Bundles of each task, built once for all processes; what their code says is run on them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from task_folders import write  # noqa: E402

RECIPE = """\
recipe: 1
name: {name}
description: A miniature for tests
model:
  family: {task}
  licence: Apache-2.0
  source: path
  sources: {{path: {{folder: {name}}}}}
verify: {{timing: false}}
targets:
  desktop: {{variants: [fp32]}}
  web: {{variants: [fp32]}}
"""
Bundles = Callable[[str], Path]


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Bundles:
    """Return the folder of a task's bundles, `desktop` and `web`, and its model beside them."""
    base = tmp_path_factory.getbasetemp()
    project = (base if worker_id == "master" else base.parent) / "tasks"
    project.mkdir(exist_ok=True)

    def built(task: str) -> Path:
        bundle = project / "outputs" / task
        with (project / f"{task}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (bundle / "web").exists():
                _build(project, task)
        return bundle

    return built


def _build(project: Path, task: str) -> None:
    write(task, project / task)
    recipe = project / f"{task}.yaml"
    recipe.write_text(RECIPE.format(name=task, task=task), encoding="utf-8")
    cache = {"OLIVE_BUILD_CACHE": str(project / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "build", recipe.name],
        cwd=project,
        env={**os.environ, **cache},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
