"""Bundles of each task, built once for all processes; what their code says is run on them.

A build takes most of a minute: a quarter of the tasks is drawn by the commit, `make slow` has all.
"""

from __future__ import annotations

import fcntl
import hashlib
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

from tests.cli.test_smoke import commit  # noqa: E402

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


OF_BUNDLES = ("test_python_code", "test_client_code")
EVERY = 4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of tasks that are not drawn, in both files alike."""
    if os.environ.get("ALL_TASKS"):
        return
    left = [item for item in items if item.path.stem in OF_BUNDLES and not is_drawn(item.name)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def is_drawn(name: str) -> bool:
    """Whether the commit draws the task of a test's name; outside of git one part of them."""
    digest = hashlib.sha256(f"{commit()} {name}".encode()).digest()
    return digest[0] % EVERY == 0


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
