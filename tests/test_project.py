"""The project's own files say the same: Makefile, lock, metadata, packages and house rules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted(p for p in (ROOT / "recipes").glob("*.yaml") if not p.name.startswith("_"))
SOURCES = sorted(
    path for room in ("olive_build", "tests", "benchmarks") for path in (ROOT / room).rglob("*.py")
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def make(
    *arguments: str, folder: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run make as a user would, without what an outer make (`make test`) hands down."""
    outer = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL")
    inherited = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=inherited | variables,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def pins() -> dict[str, str]:
    """Return the lock's packages and versions; anything but an exact pin fails."""
    found: dict[str, str] = {}
    for line in (
        (ROOT / "olive_build" / "toolchains" / "build.lock")
        .read_text(encoding="utf-8")
        .splitlines()
    ):
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", line)
        assert match, f"not one exact version, the same everywhere: {line}"
        name = canonicalize_name(match[1])
        assert name not in found, f"{name} is pinned twice"
        found[name] = match[2]
    return found


def wanted() -> list[Requirement]:
    """Return what pyproject.toml and build.in ask for."""
    project = PROJECT["project"]
    lines = [
        *PROJECT["build-system"]["requires"],
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *(ROOT / "olive_build" / "toolchains" / "build.in")
        .read_text(encoding="utf-8")
        .splitlines(),
    ]
    return [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_has_what_is_asked_for(requirement: Requirement) -> None:
    pinned = pins().get(canonicalize_name(requirement.name))
    assert pinned, f"{requirement.name} is not in olive_build/toolchains/build.lock"
    assert requirement.specifier.contains(pinned, prereleases=True)


def test_numpy_stays_below_what_breaks_olive() -> None:
    assert Version(pins()["numpy"]) < Version("2.4")


def test_the_lock_is_what_is_installed() -> None:
    installed = {name: version(name).partition("+")[0] for name in pins()}
    assert installed == pins()


def test_build_in_and_pyproject_name_the_same_packages() -> None:
    names = [canonicalize_name(requirement.name) for requirement in wanted()]
    assert {name: names.count(name) for name in names if name != "setuptools"} == {
        name: 2 for name in names if name != "setuptools"
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_has_a_goal_and_a_line_of_help(recipe: Path) -> None:
    planned = make("--dry-run", recipe.stem)
    assert f"olive-build build {recipe.stem}" in planned.stdout, planned.stderr
    description = yaml.safe_load(recipe.read_text(encoding="utf-8"))["description"]
    lines = [line.split(maxsplit=1) for line in make("help").stdout.splitlines()]
    assert [recipe.stem, description.strip()] in lines


def test_help_needs_no_environment_and_reads_every_style_of_description(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    recipes = tmp_path / "recipes"
    (recipes / "bases").mkdir(parents=True)
    texts = {
        "plain": "description: a: b and c\n",
        "quoted": 'recipe: 1\ndescription: "in quotes"\nother:\n  description: not this\n',
        "single": "description: 'in single ones'",
        "folded": "description: >-\n  on the next line\nname: folded\n",
        "none": "recipe: 1\n",
        "_base": "description: a base\n",
        "bases/shared": "description: a base\n",
    }
    for name, text in texts.items():
        (recipes / f"{name}.yaml").write_text(text, encoding="utf-8")
    done = make(folder=tmp_path)
    shown = done.stdout.partition("make <goal>")[0].splitlines()[1:]
    assert [line.split(maxsplit=1) for line in shown] == [
        ["folded", "on the next line"],
        ["none"],
        ["plain", "a: b and c"],
        ["quoted", "in quotes"],
        ["single", "in single ones"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Makefile", "recipes"]


def test_no_recipe_has_the_name_of_a_goal() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    goals = re.findall(r"^([a-z-]+):.*  ## ", text, re.MULTILINE)
    assert {"help", "setup", "all", "smoke", "check", "test", "bench", "clean"} <= set(goals)
    assert not {path.stem for path in RECIPES} & set(goals)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PYTHON": "no-such-python"}, "no-such-python is no Python 3.11 or 3.12"),
        ({"PYTHON": ""}, "no Python 3.11 or 3.12 found"),
        ({"TORCH": "rocm"}, "TORCH is rocm; it is cpu or cuda"),
    ],
)
def test_a_setup_that_cannot_work_says_why(
    tmp_path: Path, variables: dict[str, str], message: str
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "olive_build" / "toolchains", tmp_path / "olive_build" / "toolchains")
    done = make("setup", folder=tmp_path, **variables)
    assert done.returncode
    assert message in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_all_data_of_the_package_is_installed_with_it() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["olive_build"]
    suffixes = {pattern.removeprefix("**/*") for pattern in patterns}
    files = [path for path in (ROOT / "olive_build").rglob("*") if path.is_file()]
    forgotten = [p for p in files if p.suffix not in {".py", ".pyc", ".typed", *suffixes}]
    assert not forgotten


def test_a_file_is_named_after_its_job() -> None:
    vague = ("utils", "common", "helpers", "manager", "misc")
    assert not [path for path in SOURCES if path.stem in vague]
