"""Mistakes that no committed file can hold: huge, binary, linked, or given on the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from golden import assert_golden

from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe

ERRORS = Path(__file__).parent / "errors"
HEAD = "extends: _base.yaml\nname: it\n"
Write = Callable[..., Path]


def golden(case: str, path: Path, *overrides: str) -> None:
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(path, overrides=overrides)
    assert all(item.file and item.line >= 1 and item.hint for item in caught.value.diagnostics)
    assert_golden(ERRORS / f"made-{case}.txt", caught.value.render() + "\n")


def test_50_megabytes_are_refused_unread(written: Write) -> None:
    path = written("")
    os.truncate(path, 50_000_000)
    began = time.perf_counter()
    golden("50-megabytes", path)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    ("case", "data"),
    [
        ("binary", b"\x7fELF\x02\x01\0\0\0"),
        ("utf-16", "recipe: 1\n".encode("utf-16")),
        ("not-utf-8", b"recipe: 1\nname: caf\xe9 noir\n"),
        ("control-character", b"recipe: 1\nname: \x1b[31mred\n"),
        ("nested-lists", b"recipe: 1\nname: " + b"[" * 100_000),
        ("nested-maps", b"recipe: 1\nname: " + b"{a: " * 100_000),
        ("many-values", b"recipe: 1\nname: [" + b"1, " * 30_000 + b"1]\n"),
        ("deep-by-indentation", b"".join(b" " * i + b"a:\n" for i in range(60))),
        ("carriage-returns", b"extends: _base.yaml\r\nname: it\r\nexport: {opsett: 1}\r\n"),
    ],
)
def test_text_that_is_none(written: Write, case: str, data: bytes) -> None:
    golden(case, written(data))


def test_a_file_that_is_not_there(written: Write) -> None:
    golden("no-file", written("").with_name("other.yaml"))


def test_a_folder(written: Write) -> None:
    path = written("", "folder.yaml/file").parent
    golden("folder", path)


def test_a_byte_order_mark_is_no_error(written: Write) -> None:
    assert load_recipe(written(b"\xef\xbb\xbf" + HEAD.encode())).recipe.name == "it"


def test_pickled_weights(written: Write) -> None:
    path = written(HEAD + "model:\n  sources:\n    path: {folder: weights}\n")
    written("", "weights/pytorch_model.bin")
    written("{}", "weights/config.json")
    golden("pickled-weights", path)
    written("", "weights/model.safetensors")
    assert load_recipe(path)


def test_a_symbolic_link_that_leaves_the_repository(
    written: Write, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(HEAD + "model:\n  sources:\n    path: {folder: inside}\n")
    path.with_name("inside").symlink_to(tmp_path_factory.mktemp("outside"))
    golden("symbolic-link", path)


@pytest.mark.parametrize(
    ("case", "overrides"),
    [
        ("set-without-value", ["export.opset"]),
        ("set-empty-value", ["export.opset="]),
        ("set-empty-key", ["export..opset=18"]),
        ("set-unknown-field", ["export.opsett=18"]),
        ("set-extends", ["extends=_other.yaml"]),
        ("set-wrong-type", ["verify.timing=no"]),
        ("set-list-of-lists", ["targets.desktop.variants=[[int8]]"]),
        ("set-unknown-target", ["targets.wbe={}"]),
        ("set-not-yaml", ["targets.desktop.variants=[int8"]),
        ("set-inside-a-list", ["targets.desktop.variants.first=q8"]),
        ("set-control-character", ["description=\x1b[31mred"]),
        ("set-and-file", ["export.opset=99", "fuse.attention=fuzed"]),
    ],
)
def test_overrides(written: Write, case: str, overrides: list[str]) -> None:
    golden(case, written(HEAD + "verify: {metric: cosin}\n"), *overrides)
