"""Did you mean: a slip of a name is told, a name of something else is not."""

from __future__ import annotations

import pytest

from olive_build.recipe.suggest import did_you_mean, nearest

RECIPES = ("all-minilm-l6-v2", "whisper-tiny", "neo-tiny", "my-voice")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("neo-tinny", "neo-tiny"),
        ("my-vocie", "my-voice"),
        ("minilm", "all-minilm-l6-v2"),
        ("Whisper-Tiny", "whisper-tiny"),
        # What only begins or ends alike is another thing.
        ("bert-tiny", None),
        ("whisper-large", None),
        ("my-face", None),
        ("gpt2", None),
    ],
)
def test_only_what_is_near_is_meant(name: str, meant: str | None) -> None:
    assert nearest(name, RECIPES) == meant
    otherwise = "there are two"
    assert did_you_mean(name, RECIPES, otherwise) == (
        f"did you mean '{meant}'?" if meant else otherwise
    )


def test_letters_that_are_swapped_are_one_slip() -> None:
    assert nearest("cdua", ("cpu", "cuda", "coreml")) == "cuda"
