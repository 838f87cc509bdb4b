"""The verb `import`: what it writes and prints, and what it refuses, with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = {"type": "HfModel", "model_path": "models/m", "task": "feature-extraction"}
CONFIGURATION: dict[str, Any] = {
    "input_model": MODEL,
    "passes": {
        "conversion": {"type": "OnnxConversion"},
        "quantization": {"type": "OnnxDynamicQuantization", "per_channel": True},
    },
    "log_severity_level": 0,
}


@dataclass
class Work:
    folder: Path

    def write(self, content: object, name: str = "config.json") -> str:
        text = content if isinstance(content, str) else json.dumps(content)
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def run(self, *words: str, **variables: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "olive_build", "import", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr and "bug of olive-build" not in done.stderr
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "models" / "m").mkdir(parents=True)
    return Work(tmp_path)


def test_it_writes_a_recipe_and_lists_the_rest(work: Work) -> None:
    code, out, err = work.run(work.write(CONFIGURATION))
    assert (code, err) == (0, "")
    text = (work.folder / "recipes" / "config.yaml").read_text(encoding="utf-8")
    assert "      per_channel: true  # passes.quantization.per_channel\n" in text
    assert "written: recipes/config.yaml" in out
    assert "log_severity_level: it is about Olive's messages" in out


def test_json_for_pipelines(work: Work) -> None:
    code, out, _ = work.run(work.write(CONFIGURATION), "-o", "mine.yaml", "--json")
    found = json.loads(out)
    assert code == 0 and found["recipe"] == "mine.yaml"
    assert [row["path"] for row in found["left_out"]] == ["log_severity_level"]
    assert "name: mine\n" in (work.folder / "mine.yaml").read_text(encoding="utf-8")


def test_a_file_is_replaced_only_when_asked(work: Work) -> None:
    (work.folder / "mine.yaml").write_text("by hand", encoding="utf-8")
    config = work.write(CONFIGURATION)
    code, _, err = work.run(config, "-o", "mine.yaml")
    assert code == 2 and "is there already" in err and "--force" in err
    assert (work.folder / "mine.yaml").read_text(encoding="utf-8") == "by hand"
    assert work.run(config, "-o", "mine.yaml", "--force")[0] == 0
    assert "name: mine" in (work.folder / "mine.yaml").read_text(encoding="utf-8")


def test_a_link_is_replaced_only_when_asked_too(work: Work) -> None:
    (work.folder / "mine.yaml").symlink_to("nowhere")
    assert work.run(work.write(CONFIGURATION), "-o", "mine.yaml")[0] == 2
    assert not (work.folder / "nowhere").exists()


def test_what_the_command_line_says_wins(work: Work) -> None:
    other = {**CONFIGURATION, "input_model": {"type": "ONNXModel", "model_path": "m.onnx"}}
    words = ("--model", f"acme/other@{COMMIT}", "--task", "sentence-similarity")
    code, _, err = work.run(work.write(other), *words, "--licence", "MIT")
    assert code == 0, err
    text = (work.folder / "recipes" / "config.yaml").read_text(encoding="utf-8")
    for line in ("repo: acme/other", f"revision: {COMMIT}", "licence: MIT\n"):
        assert line in text
    assert "task: sentence-similarity  # --task" in text


BAD: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "not JSON": ("c.json", "{", ("cannot be read", "it is no JSON")),
    "not YAML": ("c.yaml", "a: [", ("cannot be read", "it is no YAML", "line 2")),
    "a list": ("c.json", "[]", ("no run configuration", "it holds a list")),
    "nothing": ("c.yaml", "", ("no run configuration", "it holds nothing")),
    "a number": ("c.json", "3", ("no run configuration", "a single value")),
    "a recipe of ours": ("c.yaml", "recipe: 1\nname: c\n", ("no `input_model`", "recipe, name")),
    "another ending": ("c.toml", "", ("does not end in .json",)),
    "a huge file": ("c.json", "[" + "1," * 600_000 + "1]", ("1200003 bytes", "at most 1000000")),
    "deep JSON": ("c.json", "[" * 5000 + "]" * 5000, ("levels deep",)),
    "deep YAML": ("c.yaml", "[" * 5000 + "]" * 5000, ("levels deep",)),
    "an alias": ("c.yaml", "a: &a 1\nb: *a\n", ("the alias '*a' is not read",)),
    "a tag": ("c.yaml", "input_model: !!python/object:os.system x\n", ("tag", "is not read")),
    "two documents": ("c.yaml", "a: 1\n---\nb: 1\n", ("several documents",)),
    "infinity": ("c.yaml", "input_model: .inf\n", ("larger than any number",)),
    "many values": ("c.yaml", "[" + "1," * 110_000 + "]", ("more than 100000 values",)),
    "binary": ("c.json", "\0", ("it is no JSON",)),
    "a model that is text": ("c.json", '{"input_model": "m"}', ("input_model", "takes a map")),
    "a list of passes": (
        "c.json",
        json.dumps({"input_model": MODEL, "passes": [{"type": "OnnxConversion"}]}),
        ("at:      passes", "it is a list; Olive takes a map"),
    ),
    "a pass that is text": (
        "c.json",
        json.dumps({"input_model": MODEL, "passes": {"c": "OnnxConversion"}}),
        ("at:      passes.c", "it is text; Olive takes a map"),
    ),
    "a type that is a number": (
        "c.json",
        json.dumps({"input_model": MODEL, "passes": {"c": {"type": 3}}}),
        ("at:      passes.c.type", "it is a number; Olive takes text"),
    ),
    "no model": (
        "c.json",
        json.dumps({"input_model": {"type": "ONNXModel", "model_path": "m.onnx"}}),
        ("the configuration does not say what the model is for", "--task"),
    ),
    "an ONNX file": (
        "c.json",
        json.dumps({"input_model": {**MODEL, "type": "ONNXModel"}}),
        ("none that a recipe can begin with", "not with an ONNX file", "--model FOLDER"),
    ),
    "no such folder": (
        "c.json",
        json.dumps({"input_model": {**MODEL, "model_path": "./models/x"}}),
        ("'./models/x' is neither a folder that is there nor", "input_model.model_path"),
    ),
    "no such task": (
        "c.json",
        json.dumps({"input_model": {**MODEL, "task": "mind-reading"}}),
        ("no family builds models for the task 'mind-reading'", "input_model.task"),
    ),
    "no images": (
        "c.json",
        json.dumps({"input_model": {**MODEL, "task": "image-classification"}}),
        ("does not become a recipe", "there are no images", "--data"),
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_configuration_is_refused(work: Work, kind: str) -> None:
    name, text, said = BAD[kind]
    code, out, err = work.run(work.write(text, name))
    assert (code, out) == (2, ""), err
    for part in said:
        assert part in err
    assert not (work.folder / "recipes").exists()


def test_a_file_that_is_none(work: Work) -> None:
    os.mkfifo(work.folder / "pipe.json")
    for name, why in (("none.json", "No such file"), ("pipe.json", "a pipe"), (".", "end in")):
        code, _, err = work.run(name)
        assert code == 2 and why in err


def test_pickled_weights_and_a_model_elsewhere(work: Work) -> None:
    (work.folder / "models" / "m" / "pytorch_model.bin").touch()
    code, _, err = work.run(work.write(CONFIGURATION))
    assert code == 2 and "the weights in '../models/m' are pickled" in err
    outside = work.folder.parent / f"{work.folder.name}-outside"
    outside.mkdir()
    code, _, err = work.run(work.write(CONFIGURATION), "--model", str(outside))
    assert code == 2 and "leaves the repository" in err


def test_a_commit_that_is_not_written_is_asked_of_the_hub(work: Work) -> None:
    """Nobody answers at this address; the error says how to give the commit oneself."""
    config = work.write({**CONFIGURATION, "input_model": {**MODEL, "model_path": "acme/model"}})
    code, _, err = work.run(config, HF_ENDPOINT="http://127.0.0.1:9")
    assert code == 3
    assert "the hub does not say which commit the latest of acme/model is" in err
    assert "--model acme/model@COMMIT" in err


def test_no_name_of_the_configuration_moves_the_terminal_or_the_recipe(work: Work) -> None:
    strange = {**CONFIGURATION, "\x1b[2J\nrecipe: 2": {"\u202e": "x\ny"}, "output_dir": "\x1b"}
    code, out, err = work.run(work.write(strange))
    assert code == 0, err
    text = (work.folder / "recipes" / "config.yaml").read_text(encoding="utf-8")
    for written in (out, text):
        assert "\x1b" not in written and "\u202e" not in written
        assert "\nrecipe: 2" not in written
