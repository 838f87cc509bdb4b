"""The section `speech`: the target's wins over the recipe's, field by field, over the defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve
from olive_build.recipe.sections.speech import Speech

Write = Callable[..., Path]
HEAD = """\
recipe: 1
name: it
description: x
model:
  family: FAMILY
  licence: x
  source: hub
  sources: {hub: {repo: a/b, revision: abcdef6789012345678901234567890123456789}}
"""


@pytest.mark.parametrize(
    ("common", "own", "expected"),
    [
        ("", "", Speech(None, "transcribe", "audio_pcm")),
        ("{language: de}", "", Speech("de", "transcribe", "audio_pcm")),
        ("", "{task: translate}", Speech(None, "translate", "audio_pcm")),
        (
            "{language: de, task: translate, input: audio_stream}",
            "{language: fr}",
            Speech("fr", "translate", "audio_stream"),
        ),
        (
            "{language: de}",
            "{input: audio_stream, task: transcribe}",
            Speech("de", "transcribe", "audio_stream"),
        ),
    ],
)
def test_the_targets_fields_win_one_by_one(
    written: Write, common: str, own: str, expected: Speech
) -> None:
    text = HEAD.replace("FAMILY", "whisper")
    text += f"speech: {common}\n" if common else ""
    text += "targets:\n  android: {variants: [fp32]}\n"
    text += f"  desktop: {{variants: [fp32]{', speech: ' + own if own else ''}}}\n"
    loaded = load_recipe(written(text))
    build = resolve(loaded, "desktop")
    assert build.section(Speech) == expected
    assert dict(build.options) == {
        key: value for key, value in vars(expected).items() if value is not None
    }
    # Another target has the recipe's alone.
    other = resolve(loaded, "android").section(Speech)
    assert other is not None and (other.language or "") in common


def test_other_families_are_asked_for_nothing(written: Write) -> None:
    text = HEAD.replace("FAMILY", "sentence-embedding")
    text += "targets: {desktop: {variants: [fp32]}}\n"
    build = resolve(load_recipe(written(text)), "desktop")
    assert build.section(Speech) is None and build.options == ()
