"""A precision in the place of a method is answered with the method of the variant so named."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "neo-tiny.yaml"


@pytest.mark.parametrize(("word", "method"), [("int8", "dynamic-int8"), ("q4", "weight-only")])
def test_it_names_the_method_of_the_built_in_variant(word: str, method: str) -> None:
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(RECIPE, overrides=[f"quantize={{method: {word}}}"])
    assert [item.hint for item in caught.value.diagnostics] == [f"did you mean '{method}'?"]
