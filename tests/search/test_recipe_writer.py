"""A searched recipe written out: its own text, with the method in place of `auto`."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_build.errors import UsageError
from olive_build.methods import Method
from olive_build.methods.dynamic_int8 import DynamicLadder
from olive_build.methods.static_int8 import StaticLadder
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve
from olive_build.search.recipe_writer import as_yaml, plain_recipe

RECIPE = """\
recipe: 1
name: tiny
description: A miniature  # kept
model:
  family: sentence-embedding
  licence: Apache-2.0
  source: hub
  sources:
    hub: {repo: a/b, revision: abcdef6789012345678901234567890123456789}
variants:
  fast:
%s
  other:  # this comment stays as well
    quantize: {method: fp16}
targets:
  desktop:
    variants: [fast]
"""
STYLES = {
    "a word": "    quantize: auto",
    "flow": "    quantize: {method: auto, max_minutes: 3}",
    "a block": "    quantize:\n      method: auto\n      max_minutes: 3\n    speed: any\n"
    "    because: it is small",
}
METHODS: dict[str, Method | None] = {
    "plain": DynamicLadder().uniform(0),
    "helped": DynamicLadder(smooth=True, gptq=True).uniform(1),
    "mixed": DynamicLadder(smooth=True).assigned(
        {"a/MatMul": 0, "b[1]": 1, "c": 2, "d": 3, "e": 4}
    ),
    "blocks": DynamicLadder(gptq=True).assigned({"a/MatMul": 2, "b": 3, "c": 2}),
    "static": StaticLadder(percentile=99.9, gptq=True).assigned({"conv 1": 1, "conv 2": 0}),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", METHODS)
def test_the_written_recipe_says_what_was_chosen(tmp_path: Path, style: str, name: str) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE % STYLES[style], encoding="utf-8")
    method = METHODS[name]
    assert method is not None
    text = plain_recipe(load_recipe(path), {"fast": method})
    path.write_text(text, encoding="utf-8")
    (variant,) = resolve(load_recipe(path), "desktop").variants
    assert variant.quantize == method
    assert "description: A miniature  # kept" in text
    assert "  other:  # this comment stays as well" in text
    assert text.endswith("targets:\n  desktop:\n    variants: [fast]\n")


def test_only_what_differs_from_the_defaults_is_written() -> None:
    method = DynamicLadder(smooth=True).uniform(1)
    assert method is not None
    assert as_yaml(method) == {"method": "dynamic-int8", "smooth": True, "per_token": "all"}


def test_a_method_that_is_written_in_a_base_is_refused(tmp_path: Path) -> None:
    base = RECIPE.replace("name: tiny", "name: _base") % STYLES["a word"]
    (tmp_path / "_base.yaml").write_text(base, encoding="utf-8")
    path = tmp_path / "tiny.yaml"
    path.write_text("recipe: 1\nextends: _base.yaml\nname: tiny\n", encoding="utf-8")
    method = METHODS["plain"]
    assert method is not None
    with pytest.raises(UsageError) as caught:
        plain_recipe(load_recipe(path), {"fast": method})
    assert "is not written in this recipe" in caught.value.what
    assert "_base.yaml" in str(caught.value.why)
