"""A model outside of the repository: only below a folder that the caller names by --model-root."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tiny_recipe import RECIPE, Project


@pytest.fixture
def outside(project: Project) -> tuple[Project, Path]:
    """A project whose recipe names a model in a folder beside the project's."""
    disk = project.folder.parent / "disk"
    shutil.copytree(project.folder / "recipes" / "model", disk / "models" / "m")
    write(project, "../../disk/models/m")
    return project, disk


def write(project: Project, folder: str) -> None:
    project.write_recipe(RECIPE.replace("folder: model", f"folder: {folder}"))


@pytest.mark.parametrize("verb", ["validate", "plan", "explain", "build"])
def test_it_is_refused_and_the_error_says_the_option(
    outside: tuple[Project, Path], verb: str
) -> None:
    project, _ = outside
    done = project.run(verb, "tiny")
    assert done.code == 2
    assert "R022" in done.err and "leaves the repository" in done.err
    assert "--model-root" in done.err


def test_the_caller_allows_it(outside: tuple[Project, Path]) -> None:
    project, disk = outside
    for root in ("../disk", str(disk), "../disk/models/m"):
        validated = project.run("validate", "tiny", "--model-root", root)
        assert validated.code == 0, validated.err
    write(project, str(disk / "models" / "m"))
    assert project.run("validate", "tiny").code == 2
    assert project.run("validate", "tiny", "--model-root", str(disk)).code == 0


def test_what_was_allowed_is_built_and_measured(outside: tuple[Project, Path]) -> None:
    project, disk = outside
    allowed = ("--model-root", str(disk))
    built = project.run("build", "tiny", "--target", "desktop", *allowed)
    assert built.code == 0, built.out + built.err
    bundle = project.bundle("desktop")
    assert project.run("verify", str(bundle)).code == 0
    for file in ("manifest.json", "README.md"):
        assert str(disk) not in (bundle / file).read_text(encoding="utf-8")
    words = ("bench", str(bundle), "--seconds", "0.05", "--lengths", "16")
    refused = project.run(*words)
    assert refused.code == 2 and "--model-root" in refused.err
    benched = project.run(*words, *allowed)
    assert benched.code == 0, benched.err


def test_another_root_a_link_and_other_paths_are_refused(outside: tuple[Project, Path]) -> None:
    project, disk = outside
    other = disk.parent / "other"
    other.mkdir()
    done = project.run("validate", "tiny", "--model-root", str(other))
    assert done.code == 2 and "is below no --model-root" in done.err
    (other / "link").symlink_to(disk / "models" / "m")
    write(project, "../../other/link")
    done = project.run("validate", "tiny", "--model-root", str(other))
    assert done.code == 2 and "by a symbolic link" in done.err
    data = disk / "data.jsonl"
    data.write_text('{"text": "a"}\n', encoding="utf-8")
    text = RECIPE.replace("verify:\n", "verify:\n  data: {file: ../../disk/data.jsonl}\n")
    project.write_recipe(text)
    done = project.run("validate", "tiny", "--model-root", str(disk))
    assert done.code == 2 and "leaves the repository" in done.err
    assert "--model-root" not in done.err
    assert project.run("validate", "tiny", "--model-root", str(disk / "none")).code == 2


def test_neither_a_recipe_nor_the_environment_allows_it(outside: tuple[Project, Path]) -> None:
    project, disk = outside
    recipe = project.folder / "recipes" / "tiny.yaml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text + f"model_roots: [{disk}]\n", encoding="utf-8")
    done = project.run("validate", "tiny", "--json")
    codes = {item["code"] for item in json.loads(done.out)[0]["diagnostics"]}
    assert done.code == 2 and codes == {"R001", "R022"}
    recipe.write_text(text, encoding="utf-8")
    project.environment = {
        "OLIVE_BUILD_MODEL_ROOT": str(disk),
        "OLIVE_BUILD_MODEL_ROOTS": str(disk),
    }
    assert project.run("validate", "tiny").code == 2


def test_an_imported_configuration_names_a_model_there(outside: tuple[Project, Path]) -> None:
    project, disk = outside
    model = {"type": "HfModel", "model_path": str(disk / "models/m"), "task": "feature-extraction"}
    configuration = {"input_model": model, "passes": {"c": {"type": "OnnxConversion"}}}
    (project.folder / "olive.json").write_text(json.dumps(configuration), encoding="utf-8")
    refused = project.run("import", "olive.json")
    assert refused.code == 2 and "--model-root" in refused.err
    assert not os.path.exists(project.folder / "recipes" / "olive.yaml")
    assert project.run("import", "olive.json", "--model-root", str(disk)).code == 0
    assert project.run("validate", "olive", "--model-root", str(disk)).code == 0
