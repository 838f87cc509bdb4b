"""A target of a folder that a program joins is one like ours: timed where its file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extending.test_figure import ran
from tests.extending.test_verb import called

RECIPE = """recipe: 1
name: it
description: A small model
model:
  family: sentence-embedding
  licence: MIT
  source: path
  sources: {path: {folder: model}}
variants: {found: {quantize: auto}}
targets: {%s: {variants: [found]}}
"""


@pytest.mark.parametrize(
    ("target", "problem"), [("toy_server", ""), ("toy_board", "no search can measure 'toy_chip'")]
)
def test_a_search_is_for_targets_that_a_machine_that_builds_is_one_of(
    tmp_path: Path, target: str, problem: str
) -> None:
    (tmp_path / "recipes" / "model").mkdir(parents=True)
    recipe = tmp_path / "recipes" / "it.yaml"
    recipe.write_text(RECIPE % target, encoding="utf-8")
    done = called("validate", str(recipe))
    assert (done.returncode, problem in done.stderr) == (2 if problem else 0, True), done.stderr


def test_what_its_provider_runs_here_says_its_file() -> None:
    found = ran(
        "import json\n"
        "from olive_build.bundle.purpose import Purpose\n"
        "names = ('toy_server', 'toy_board', 'desktop', 'windows')\n"
        "print(json.dumps([Purpose().status(name, 'cpu')[:8] for name in names]))"
    )
    assert found == ["proved: ", "prepared", "proved: ", "prepared"]
