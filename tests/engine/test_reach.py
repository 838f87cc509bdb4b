"""A key holds the code that a step reaches: no less, and nothing that changes no result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from tiny_steps import Odd, Tooled

from olive_build import rooms
from olive_build.engine import reach
from olive_build.engine.fingerprint import distributions
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.reach import reached
from olive_build.engine.registry import WORKERS, step_class
from olive_build.engine.run import run_graph
from olive_build.engine.store import Store
from olive_build.steps.describe import Describe
from olive_build.steps.fuse import FuseAttention, FuseCachedAttention, SimplifyForCpu

PACKAGE = Path(reach.__file__).parents[1]
SIDE = "olive_build.families.whisper.torch_side"
OF_A_COPY = """
import json, sys
from pathlib import Path
from olive_build.engine.explain import explain
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.run import run_graph
from olive_build.engine.store import Store
from olive_build.steps.samples import SplitSamples
with Store() as store:
    graph = GraphBuilder()
    graph.add(SplitSamples("learn"), {"data": graph.leaf(sys.argv[1], "0" * 64)}, "samples")
    ((_, why),) = explain(graph.build(), store)
    (outcome,) = run_graph(graph.build(), store).values()
print(json.dumps([outcome.status, *(reason.text() for reason in why)]))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    folder = tmp_path / "copy" / "olive_build"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    return folder


@pytest.fixture
def build(copy: Path, tmp_path: Path) -> Callable[[], list[str]]:
    """Build a step of the copy in a process of its own; return its status and why."""
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "one"}\n{"text": "two"}\n')

    def run() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", OF_A_COPY, str(data)],
            cwd=copy.parent,
            env={**os.environ, "PYTHONPATH": str(copy.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)
        return found

    return run


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_changes_no_result_makes_nothing_anew_and_what_may_is_named(
    copy: Path, build: Callable[[], list[str]]
) -> None:
    assert build() == ["ran", "never built before"]
    change(copy / "steps" / "samples.py", '"""Write the file', '"""Put down the file')
    change(copy / "steps" / "samples.py", "ENOUGH_TO_LEARN = 128", "ENOUGH_TO_LEARN = 128  # or so")
    change(copy / "proof" / "pictures.py", "as they are stored, one", "as they lie, one")
    with (copy / "rewrites" / "padding_mask.py").open("a", encoding="utf-8") as file:
        file.write("\nprint('another graph')\n")
    with (copy / "engine" / "store.py").open("a", encoding="utf-8") as file:
        file.write("\nUNUSED = 1\n")
    assert build() == ["cached", "up to date"]
    change(copy / "proof" / "pictures.py", "AXES = 3", "AXES = 2 + 1")
    assert build() == ["ran", "code changed: proof/pictures.py"]
    change(copy / "steps" / "samples.py", "ENOUGH_TO_LEARN = 128", "ENOUGH_TO_LEARN = 64")
    assert build() == ["ran", "code changed: steps/samples.py"]
    assert build() == ["cached", "up to date"]


def test_a_step_that_runs_what_its_key_does_not_hold_fails(store: Store) -> None:
    builder = GraphBuilder()
    builder.add(Odd("hidden"), {}, "hidden")
    (outcome,) = run_graph(builder.build(), store).values()
    assert outcome.error is not None and outcome.error.why is not None
    assert ", which its key does not hold" in outcome.error.why


def test_a_step_reaches_what_it_imports_where_it_runs_and_not_what_its_neighbour_does() -> None:
    files = reached(kind(SimplifyForCpu)).files
    assert {"rewrites/padding_mask.py", "steps/fuse.py", "engine/step.py"} <= files.keys()
    assert "rewrites/tanh_gelu.py" not in files and "engine/store.py" not in files
    fused, cached = (reached(kind(step)).files for step in (FuseAttention, FuseCachedAttention))
    assert "olive_bridge.py" in fused and "olive_bridge.py" not in cached
    assert fused["steps/fuse.py"] != cached["steps/fuse.py"]


def test_a_step_reaches_the_module_that_a_field_names_and_no_registry() -> None:
    export = "olive_build.steps.export:Export"
    with_family, without = reached(export, (SIDE,)).files, reached(export).files
    assert "families/whisper/torch_side.py" in with_family
    assert not any(name.startswith("families/whisper") for name in without)
    assert "families/registry.py" not in with_family
    assert not any("sentence_embedding" in name for name in with_family)


def test_no_step_reaches_what_plans_and_tells() -> None:
    above = ("recipe/", "plan/", "search/", "bundle/", "report/", "cli/", "families/registry.py")
    for step in every_step():
        files = reached(f"{step}:*", (SIDE,)).files
        assert not [name for name in files if name.startswith(above)], step


def test_a_process_that_a_step_starts_is_reached() -> None:
    files = reached("olive_build.steps.measuring:MeasureLatency").files
    assert {"steps/latency_child.py", "clients/onnxruntime_client.py"} <= files.keys()


def test_data_that_code_reads_is_reached() -> None:
    files = reached(kind(Describe)).files
    assert "targets/providers/coreml.operators.yaml" in files
    assert "steps/describe.py" in files and "clients/requests.mjs" not in files


def every_step() -> list[str]:
    """Return the modules that hold our steps."""
    holding = ("steps", "methods.steps", "training.steps")
    return [f"olive_build.{room}.{name}" for room in holding for name in rooms.names(room)]


def kind(step: type) -> str:
    return f"{step.__module__}:{step.__qualname__}"


@pytest.mark.parametrize(
    "text",
    [
        "export",
        "os:getcwd",
        "olive_build.steps.export:json",
        "olive_build.steps.export:Step",
        "olive_build.steps.nothing:Export",
        "olive_build.steps.export.nothing:Export",
        "olive_build.__main__:Export",
    ],
)
def test_a_kind_is_looked_up_among_the_steps_and_nothing_else(text: str) -> None:
    with pytest.raises(LookupError):
        step_class(text)
    assert step_class(kind(FuseAttention)) is FuseAttention


def test_every_library_that_steps_import_is_installed_under_the_name_in_keys() -> None:
    assert reached(kind(Tooled)).libraries == ("pytest",)
    known = {name.lower().replace("_", "-") for names in installed().values() for name in names}
    libraries = {lib for name in every_step() for lib in reached(f"{name}:*", (SIDE,)).libraries}
    assert {"onnx", "torch", "olive", "yaml"} <= libraries
    assert set(distributions(libraries)) <= known
    assert all(kind.toolchain or kind.preload for kind in WORKERS.values())


def installed() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())
