"""One build with a toy of each kind, from a recipe to a verified bundle and its report.

Every process is one of Python that joins the folder; no file of the product knows a toy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.extending.test_verb import PROGRAM, TOY

RECIPE = """recipe: 1
name: letters
description: A toy of letters
model:
  family: toy-letters
  licence: MIT
  source: path
  sources: {path: {folder: model}}
remark: {words: small}
variants:
  coarse:
    quantize: {method: toy-rounding, grid: 0.25, fit: true}
    components: {decoder: {quantize: {method: toy-rounding, fold: true}}}
targets: {toy_board: {variants: [fp32, coarse], remark: {loud: true}}}
"""
Called = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("letters")
    (folder / "recipes" / "model").mkdir(parents=True)
    (folder / "recipes" / "letters.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def called(place: Path, shared_cache: Path) -> Called:
    """Run a verb in a process of its own that joins a folder."""

    def run(*words: str, folder: Path | None = TOY, **more: str) -> Any:
        command = [sys.executable, "-m", "olive_build", *words]
        if folder is not None:
            command = [sys.executable, "-c", PROGRAM, str(folder), *words]
        environment = {**os.environ, "OLIVE_BUILD_CACHE": str(shared_cache), **more}
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=place
        )

    return run


@pytest.fixture(scope="module")
def bundle(place: Path, called: Called) -> Path:
    """The bundle of the recipe's one target."""
    done = called("build", "recipes/letters.yaml", "--smoke", "--outputs", "out")
    assert done.returncode == 0, done.stderr
    return place / "out" / "smoke" / "letters" / "toy_board"


def loaded(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_its_figure_is_measured_and_gated(bundle: Path) -> None:
    proof = loaded(bundle / "proof.json")["variants"]
    gates = {name: [gate["figure"] for gate in item["gates"]] for name, item in proof.items()}
    assert gates == {"fp32": ["evenness", "longest_difference"], "coarse": ["evenness"]}
    (gate,) = proof["coarse"]["gates"]
    assert (gate["limit"], gate["bound"], gate["status"]) == (0.9, "at least", "passed")
    assert 0.9 < gate["value"] < 1 and proof["fp32"]["gates"][0]["value"] > 0.999999


def weights_of(path: Path) -> list[Any]:
    graph = onnx.load(path).graph
    read = {name for node in graph.node if node.op_type == "MatMul" for name in node.input}
    return [numpy_helper.to_array(item) for item in graph.initializer if item.name in read]


def test_its_method_and_rewrite_changed_both_components(bundle: Path) -> None:
    plain, coarse = (bundle / name / "model.onnx" for name in ("fp32", "coarse"))
    assert [weight.shape for weight in weights_of(coarse)] == [(16, 16), (16, 8)]
    # The grid was fitted: fractions of 0.25 by powers of two, which floats hold exactly.
    steps = [weight * 1024 for weight in weights_of(coarse)]
    assert all(np.array_equal(step, step.round()) and step.any() for step in steps)
    assert not any(np.array_equal(w * 1024, (w * 1024).round()) for w in weights_of(plain))
    kinds = [[node.op_type for node in onnx.load(path).graph.node] for path in (plain, coarse)]
    assert ("Mul" in kinds[0], "Mul" in kinds[1]) == (True, False)


def test_the_manifest_has_its_section_target_and_method(bundle: Path) -> None:
    manifest = loaded(bundle / "manifest.json")
    assert manifest["model"]["options"] == {"remark": "SMALL"}
    assert (manifest["provider"], manifest["execution_provider"]) == (
        "toy_chip",
        "ToyExecutionProvider",
    )
    made = manifest["variants"]["coarse"]
    assert (made["quantize"]["method"], made["quantize"]["fold"]) == ("toy-rounding", False)
    assert made["components"]["decoder"]["fold"]


def test_the_readme_has_the_familys_code_in_the_targets_language(bundle: Path) -> None:
    code = (bundle / "README.md").read_text(encoding="utf-8").partition("## Code")[2]
    assert 'use chip "fp32/model.onnx"\non the toy chip\n' in code
    assert "given input_ids, say sentence_embedding  # 8 values" in code


def test_the_second_component_was_calibrated_by_running_the_first(
    bundle: Path, called: Called
) -> None:
    done = called("explain", "recipes/letters.yaml", "--smoke")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "decoder/calibration" in line]
    assert lines and "cached" in done.stdout


def test_verify_measures_it_again(bundle: Path, called: Called) -> None:
    done = called("verify", str(bundle))
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_report_shows_figure_and_block(bundle: Path, called: Called, place: Path) -> None:
    page = place / "page.html"
    done = called("report", str(bundle), "--output", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert ">Even<" in text and "evenness of lengths" in text
    assert "Licences &amp; their letters." in text
    shown = called("report", str(bundle), "--format", "text").stdout
    assert "3 letters" in shown and "toy_board" in shown


def test_its_verb_runs_beside_ours(called: Called) -> None:
    assert called("greet", "Ada").stdout == "hello, Ada\n"


@pytest.mark.parametrize("variable", ["OLIVE_BUILD_EXTENSIONS", "OLIVE_BUILD_ROOMS"])
def test_no_variable_joins_it(called: Called, variable: str) -> None:
    alone = called("validate", "recipes/letters.yaml", folder=None, **{variable: str(TOY)})
    assert (alone.returncode, "unknown family 'toy-letters'" in alone.stderr) == (2, True)


def test_no_recipe_joins_it(called: Called, place: Path) -> None:
    """What lies beside a recipe, or is named by it, is no code."""
    shutil.copytree(TOY, place / "recipes" / "toy", dirs_exist_ok=True)
    beside = place / "recipes" / "beside.yaml"
    beside.write_text(RECIPE.replace("name: letters", "name: beside"), encoding="utf-8")
    alone = called("validate", "recipes/beside.yaml", folder=None)
    assert alone.returncode == 2
    for text in ("'toy-letters'", "'toy_board'", "'remark'"):
        assert text in alone.stderr, alone.stderr


def test_a_bundle_of_toys_joins_nothing(bundle: Path, called: Called) -> None:
    done = called("verify", str(bundle), folder=None)
    assert done.returncode == 6
    assert "this olive-build has no figure 'evenness'" in done.stderr
    assert "the program that built it" in done.stderr
    assert "Traceback" not in done.stderr
