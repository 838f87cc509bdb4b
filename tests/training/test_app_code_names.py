"""Inputs may be called anything: the code has the name in strings, and a variable of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))

from tiny_training import code_of_bundle, read_manifest, write_bundle

from olive_build.targets import load_language, load_target
from olive_build.training.app_code import variables

TARGETS = ("android", "ios", "windows", "web", "desktop")
# Words of a language, locals of a template, and what becomes the same variable as another.
NAMES = [
    "batch", "count", "session", "new", "fun", "val", "function", "in", "class", "object", "data",
    "input_ids", "inputIds", "input", "self", "rows", "order", "random", "loss", "ort", "sequence",
    "sequence_length", "lambda", "environment", "_1x", "_", "Batch",
]  # fmt: skip
OF_STEP = {
    "android": r"fun step\((.*?)\): Float",
    "ios": r"func step\((.*?)\) throws",
    "windows": r"public float Step\((.*?)\)",
    "web": r"async step\((.*?)\) \{",
    "desktop": r"def step\(self, (.*?)\) -> float",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("names") / "bundle")


def code_of(bundle: Path, target: str, names: list[str]) -> str:
    manifest: dict[str, Any] = {**read_manifest(bundle), "target": target}
    axes = ["batch_size", "sequence_length"]
    manifest["training"]["inputs"] = [
        {"name": name, "type": "int64", "axes": axes} for name in names
    ]
    text = code_of_bundle(manifest)
    return text.partition(f"```{load_target(target).training_language}\n")[2].partition("```")[0]


def parameters(code: str, target: str) -> list[str]:
    found = re.search(OF_STEP[target], code)
    assert found, code
    taken = [item.strip() for item in found[1].split(",")]
    if target == "windows":
        return [item.split(" ")[-1] for item in taken]
    return [item.removeprefix("_ ").partition(":")[0] for item in taken]


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_has_a_variable_of_its_own(bundle: Path, target: str) -> None:
    code = code_of(bundle, target, NAMES)
    found, language = parameters(code, target), load_target(target).training_language
    assert len(set(found)) == len(NAMES) + 1
    assert all(re.fullmatch(r"[A-Za-z]\w*", name) for name in found)
    assert not set(found) & load_language(language).reserved
    lines = re.findall(r"(?:val|let|var|const) (\w+) = ", code)
    assert not set(found) & {*lines, "batch", "count"}
    if target == "desktop":
        compile(code, "README.md", "exec")
    else:
        quote = "'" if target == "web" else '"'
        named = NAMES if target in ("web", "android") else []
        assert all(f"{quote}{name}{quote}" in code for name in named)


def test_such_javascript_is_javascript(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "code.mjs"
    path.write_text(code_of(bundle, "web", NAMES), encoding="utf-8")
    subprocess.run(["node", "--check", str(path)], check=True, timeout=60)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["pixel_values", "input_values", "attention_mask", "waveform"])
def test_names_that_are_free_stay(target: str, name: str) -> None:
    language = load_target(target).training_language
    path = files("olive_build.training").joinpath("templates", f"training.{language}.md")
    first, _, second = name.partition("_")
    plain = name if language == "python" else f"{first}{second.title()}"
    assert variables([name], load_language(language), path.read_text("utf-8"), ["count"]) == {
        name: plain
    }


def test_no_word_of_the_code_before_a_prose_is_taken_from_the_prose() -> None:
    text = "The owner.\n\n```swift\nlet session = $owner\n```\nA stranger.\n"
    found = variables(["owner", "stranger", "session"], load_language("swift"), text)
    assert found == {"owner": "owner", "stranger": "stranger", "session": "sessionValues"}
