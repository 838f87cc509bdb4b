"""A path that cannot be used is an error of its kind in every verb, found before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from olive_build.engine.trees import replace_file

ROOT = Path(__file__).parents[2]
BAD = "long inside pipe".split()
WORDS = {
    "recipes": ["list", "--recipes", "@"],
    "recipe": ["validate", "@"],
    "build": ["build", "@"],
    "bundle": ["verify", "@"],
    "layout": ["verify", "--layout", "transformers.js", "@"],
    "serve": ["serve", "@"],
    "train": ["train", "@", "--data", "."],
    "diff": ["diff", "@", "@"],
    "report": ["report", "@"],
    "bench": ["bench", "@"],
    "quality": ["explain", "--quality", "@"],
    "pair": ["explain", "--quality", "@", "@"],
    "attribution": ["report", ".", "--attribution", "@"],
    "schema": ["schema", "--check", "--recipes", "@"],
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "file").touch()
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return {
        "long": "x" * 300,
        "deep": "/tmp/" + "/".join(["y" * 200] * 30),
        "behind": f"{folder}/file/x",
        "loop": f"{folder}/loop",
        "inside": f"{folder}/loop/x",
        "pipe": f"{folder}/pipe",
    }


def run(*words: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", BAD)
def test_it_is_an_error_of_its_kind_in_every_verb(bad: dict[str, str], name: str) -> None:
    for words in WORDS.values():
        code, said = run(*(bad[name] if word == "@" else word for word in words))
        assert code in (2, 3, 6), said
        assert "Traceback" not in said
        assert "bug of olive-build" not in said


@pytest.mark.parametrize("name", ["long", "deep", "behind", "loop", "pipe"])
def test_a_build_asks_first_whether_its_outputs_can_be_written(
    bad: dict[str, str], name: str, tmp_path: Path
) -> None:
    words = ["build", "neo-tiny", "--smoke", "--target", "web", "--outputs", bad[name]]
    code, said = run(*words, OLIVE_BUILD_CACHE=str(tmp_path))
    assert code in (2, 6), said
    assert "bug of olive-build" not in said
    assert not list(tmp_path.glob("v1/records/*/*"))


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="no file"):
        replace_file(tmp_path / "pipe", b"")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["long", "behind", "loop"])
def test_a_cache_that_cannot_be_one_is_an_error(bad: dict[str, str], name: str) -> None:
    for words in (["cache", "gc"], ["plan", "neo-tiny", "--smoke"]):
        code, said = run(*words, OLIVE_BUILD_CACHE=bad[name])
        assert code in (0, 2, 3, 4), said
        assert "bug of olive-build" not in said
