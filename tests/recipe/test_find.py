"""Listing and finding recipes, broken ones among them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from olive_build.errors import UsageError
from olive_build.recipe.find import BROKEN, describe, find_recipe, recipe_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {
        "a.yaml": "recipe: 1\ndescription: Plain: text # a comment\n",
        "b.yaml": 'recipe: 1\ndescription: "Quoted \\u00e9"\n',
        "c.yaml": "extends: _base.yaml\n",
        "d.yaml": "recipe: 1\n",
        "e.yaml": "",
        "f.yaml": "recipe: 1\ndescription: 'It''s \x1b[31mred'\n",
        "g.yaml": "recipe: 1\ndescription: >\n  folded\n",
        "_base.yaml": "recipe: 1\ndescription: From the base\n",
        "notes.txt": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "h.yaml").write_bytes(b"\xff\0")
    return tmp_path


def test_names(folder: Path) -> None:
    assert recipe_names(folder) == ("a", "b", "c", "d", "e", "f", "g", "h")


def test_descriptions(folder: Path) -> None:
    assert dict(describe(folder)) == {
        "a": "Plain: text",
        "b": "Quoted é",
        "c": "From the base",
        "d": BROKEN,
        "e": BROKEN,
        "f": "It's [31mred",
        "g": BROKEN,
        "h": BROKEN,
    }


def test_find_by_name_and_by_path(folder: Path) -> None:
    assert find_recipe("a", folder) == folder / "a.yaml"
    assert find_recipe(str(folder / "_base.yaml"), folder) == folder / "_base.yaml"


def test_a_name_that_is_not_there(folder: Path) -> None:
    (folder / "whisper-tiny.yaml").touch()
    with pytest.raises(UsageError) as caught:
        find_recipe("whisper-tyni", folder)
    assert caught.value.hint == "did you mean 'whisper-tiny'?"


@pytest.mark.parametrize("key", ["extends", "description"])
@pytest.mark.parametrize("end", ["", "\n# more", "x"])
def test_blanks_behind_a_key_take_no_time(tmp_path: Path, key: str, end: str) -> None:
    (tmp_path / "a.yaml").write_text(f"recipe: 1\n{key}:{' ' * 900_000}{end}")
    started = time.perf_counter()
    ((name, shown),) = describe(tmp_path)
    assert time.perf_counter() - started < 2
    assert (name, shown) == ("a", "x" if (key, end) == ("description", "x") else BROKEN)


def test_what_is_no_file_is_broken_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "link.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    assert describe(tmp_path) == (("folder", BROKEN), ("link", BROKEN), ("pipe", BROKEN))


def test_no_folder_holds_no_recipe(tmp_path: Path) -> None:
    assert recipe_names(tmp_path / "none") == ()


def test_the_folder_that_lacks_a_recipe_is_written_as_a_folder(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_recipe("zebra", folder)
    assert caught.value.why == f"{folder}/ holds no zebra.yaml"
