"""What runs in a toolchain sees this package and the toolchain's own packages, nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from olive_build.toolchains.provision import command

PACKAGE = Path(__file__).resolve().parents[2] / "olive_build"
# A module of the standard library that runs what it is told, once.
TELL = ("timeit", "--number=1", "--repeat=1", "--setup")
LOOK = """
import importlib.util, json, os, sys
sys.path.remove(os.curdir)  # timeit adds it
import numpy, onnx, onnxruntime, olive_build
from olive_build.toolchains import provision
print(json.dumps({
    "onnxruntime": onnxruntime.__version__,
    "numpy": numpy.__version__,
    "package": olive_build.__file__,
    "found": [n for n in ("click", "olive", "pip", "pydantic", "torch", "yaml", "stray")
              if importlib.util.find_spec(n)],
    "path": sys.path,
    "python_path": os.environ.get("PYTHONPATH"),
    "inner": provision.command("training", "json.tool"),
    "argv": sys.argv[1:3],
}))
"""


def look(
    folder: Path, variables: Mapping[str, str], run: Path = PACKAGE / "toolchains" / "run.py"
) -> dict[str, object]:
    """Return what a module sees that is started in `folder`."""
    python, flag, _, *rest = command("training", *TELL, LOOK)
    done = subprocess.run(
        [python, flag, str(run), *rest],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, object] = json.loads(done.stdout.splitlines()[0])
    return seen


@pytest.fixture
def stray(tmp_path: Path) -> Path:
    """A folder with modules that would be imported by mistake."""
    for name in ("stray", "numpy", "onnxruntime", "olive_build"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('by mistake')\n")
    return tmp_path


@pytest.mark.usefixtures("training_python")
def test_neither_this_environment_nor_the_current_folder_is_seen(stray: Path) -> None:
    ours = sysconfig.get_path("purelib")
    seen = look(stray, {"PYTHONPATH": os.pathsep.join([str(stray), ours, "", str(PACKAGE.parent)])})
    assert seen["onnxruntime"] == "1.19.2"
    assert seen["found"] == []
    assert seen["package"] == str(PACKAGE / "__init__.py")
    assert seen["python_path"] is None
    path = seen["path"]
    assert isinstance(path, list) and not {ours, str(stray), str(PACKAGE.parent)} & set(path)


def test_a_process_of_it_starts_others_in_the_same_python(
    training_python: Path, tmp_path: Path
) -> None:
    seen = look(tmp_path, {"OLIVE_BUILD_TOOLCHAINS": str(tmp_path / "empty")})
    run = str(PACKAGE / "toolchains" / "run.py")
    assert seen["inner"] == [str(training_python), "-P", run, "json.tool"]
    assert not (tmp_path / "empty").exists()


@pytest.mark.usefixtures("training_python")
def test_of_an_installed_copy_only_the_package_is_seen(stray: Path) -> None:
    copy = stray / "olive_build"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.js*", "*.npz"))
    seen = look(stray, {}, copy / "toolchains" / "run.py")
    assert seen["package"] == str(copy / "__init__.py")
    assert seen["onnxruntime"] == "1.19.2" and seen["found"] == []


@pytest.mark.usefixtures("training_python")
def test_a_python_path_that_names_the_standard_library_does_no_harm(tmp_path: Path) -> None:
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib") + "/lib-dynload"]
    seen = look(tmp_path, {"PYTHONPATH": os.pathsep.join(paths)})
    assert seen["onnxruntime"] == "1.19.2"


@pytest.mark.usefixtures("training_python")
def test_arguments_and_the_exit_code_are_the_modules(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    tool = command("training", "json.tool", str(tmp_path / "bad.json"))
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Expecting property name" in done.stderr


def test_without_a_module_it_says_what_it_wants() -> None:
    run = str(PACKAGE / "toolchains" / "run.py")
    done = subprocess.run([sys.executable, "-P", run], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "usage: python -P run.py MODULE [ARGUMENTS...]\n"
