"""Configurations of many kinds, by Olive's schema: what their recipe says, and what is listed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from olive_build.errors import UsageError
from olive_build.importing.asked import Asked
from olive_build.importing.convert import Imported, convert, recipe_name
from olive_build.recipe.draft import shown
from olive_build.recipe.load import load_recipe

HERE = Path(__file__).parent
CONFIGURATIONS = sorted((HERE / "configs").iterdir())
EXPECTED = yaml.safe_load((HERE / "expected.yaml").read_text(encoding="utf-8"))
ASKED: Mapping[str, Mapping[str, Any]] = {
    # What these leave open is said on the command line.
    "pytorch-script": {"model": "models/m", "task": "feature-extraction"},
    "onnx-input": {"model": "models/m", "task": "feature-extraction"},
    "images": {"data": Path("d.npz"), "calibration": Path("c.npz")},
}
# Everywhere alike, or said of every recipe below.
OF_COURSE = ("recipe", "name", "description", "model.licence", "model.source")
LEAST = 25


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    for folder in ("recipes", "models/m", "models/a"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("d.npz", "c.npz"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(configuration: Path) -> Imported:
    recipe = Path("recipes") / f"{recipe_name(configuration)}.yaml"
    return convert(configuration, Asked(recipe, **ASKED.get(configuration.stem, {})))


def leaves(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield what a recipe says by its place; an option of a method or pass as a whole."""
    if isinstance(value, dict) and value and depth < 5 and not path.endswith("surgeries"):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."), depth + 1)
    elif path == "passes":
        for number, item in enumerate(value):
            yield from leaves(item, f"passes.{number}", 2)
    else:
        yield path, value


def test_there_are_many_kinds() -> None:
    assert len(CONFIGURATIONS) >= LEAST
    assert [path.name for path in CONFIGURATIONS] == list(EXPECTED)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_what_the_recipe_says_and_what_is_listed(project: Path, path: Path) -> None:
    found, expected = imported(path), EXPECTED[path.name]
    said = {key: value for key, value in leaves(yaml.safe_load(found.text)) if key not in OF_COURSE}
    if said.get("model.sources.path.folder") == "../models/m":
        del said["model.sources.path.folder"]
    assert said == expected["says"]
    listed = {shown(item.where): item.why for item in found.left}
    assert list(listed) == list(expected["listed"])
    for where, why in expected["listed"].items():
        assert listed[where].startswith(why), where


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_the_recipe_is_valid_and_commented(project: Path, path: Path) -> None:
    found = imported(path)
    file = project / "recipes" / f"{path.stem}.yaml"
    file.write_text(found.text, encoding="utf-8")
    assert load_recipe(file).recipe.name == path.stem
    assert "# input_model" in found.text or "# --model" in found.text
    for item in found.left:
        assert f"#   {shown(item.where)}: " in found.text


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_each_key_is_in_the_recipe_or_listed(project: Path, path: Path) -> None:
    """A key more, wherever it is put, is listed: nothing is lost because nobody looked for it."""
    text = path.read_text(encoding="utf-8")
    before = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    known = {shown(item.where) for item in imported(path).left}
    for number, place in enumerate(list(maps(before))):
        changed = json.loads(json.dumps(before))
        inner, where = changed, ""
        for key in place:
            inner = inner[key]
            where += f"[{key}]" if isinstance(key, int) else f".{key}"
        inner["zzz"] = 1
        file = project / f"{path.stem}-{number}.json"
        file.write_text(json.dumps(changed), encoding="utf-8")
        recipe = Path("recipes") / f"{file.stem}.yaml"
        try:
            found = convert(file, Asked(recipe, **ASKED.get(path.stem, {})))
        except UsageError as refused:
            if refused.where != f"{where}.zzz".lstrip("."):
                raise
            continue
        listed = {shown(item.where) for item in found.left}
        key = f"{where}.zzz".lstrip(".")
        whole = any(key.startswith((f"{item}.", f"{item}[")) for item in listed | known)
        as_option = "zzz" in found.text.split("# Without counterpart")[0]
        assert key in listed or whole or as_option, key


def maps(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        yield place
        for key, inner in value.items():
            yield from maps(inner, (*place, key))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from maps(inner, (*place, number))


READ_BY_OLIVE = """
import json, sys
import yaml
from olive.workflows.run.config import RunConfig
refused = {}
for path in sys.argv[1:]:
    text = open(path, encoding="utf-8").read()
    config = json.loads(text) if path.endswith("json") else yaml.safe_load(text)
    try:
        RunConfig.model_validate(config)
    except ValueError as error:
        refused[path] = str(error)
print("refused", json.dumps(refused))
"""


def test_olive_takes_them_for_run_configurations(tmp_path: Path) -> None:
    """All but the one with misspelt keys, which Olive refuses as a whole."""
    paths = [str(path) for path in CONFIGURATIONS]
    command = [sys.executable, "-c", READ_BY_OLIVE, *paths]
    quiet = {"CI": "1", "ORT_DISABLE_TELEMETRY": "1", "OLIVE_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("refused ")]
    refused = json.loads(line.removeprefix("refused "))
    assert [Path(path).name for path in refused] == ["unknown.json"]
