"""The section `generation`: what a target cannot keep to is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.errors import RecipeError
from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve
from olive_build.recipe.sections.generation import Generation

Write = Callable[..., Path]
HEAD = """\
recipe: 1
name: it
description: x
model:
  family: causal-lm
  licence: x
  source: hub
  sources: {hub: {repo: a/b, revision: abcdef6789012345678901234567890123456789}}
"""


def text(common: str, web: str = "", desktop: str = "", compose: str = "single-file") -> str:
    given = f"generation: {common}\n" if common else ""
    return (
        HEAD
        + given
        + (
            "targets:\n"
            f"  web: {{variants: [fp32]{', generation: ' + web if web else ''}}}\n"
            f"  desktop: {{variants: [fp32], compose: {compose}"
            f"{', generation: ' + desktop if desktop else ''}}}\n"
        )
    )


def refused(loaded: Path, target: str) -> str:
    with pytest.raises(RecipeError) as raised:
        resolve(load_recipe(loaded), target)
    assert isinstance(raised.value, RecipeErrors)
    return "\n".join(line for found in raised.value.diagnostics for line in [found.render()])


def test_the_targets_fields_win_and_options_are_json(written: Write) -> None:
    common = "{max_new_tokens: 200, num_beams: 4, length_penalty: 0.5, no_repeat_ngram_size: 2}"
    loaded = load_recipe(written(text(common, web="{num_beams: 1}")))
    web, desktop = resolve(loaded, "web"), resolve(loaded, "desktop")
    assert web.section(Generation) == Generation(
        max_new_tokens=200, num_beams=1, length_penalty=0.5, no_repeat_ngram_size=2
    )
    # What stops a search of several beams in a graph is said, though nobody wrote it.
    there = desktop.section(Generation)
    assert there is not None and there.early_stopping is True
    assert dict(desktop.options)["early_stopping"] == "true"
    assert dict(web.options)["length_penalty"] == "0.5"


def test_without_a_section_the_models_own_files_count(written: Write) -> None:
    build = resolve(load_recipe(written(text(""))), "web")
    assert build.section(Generation) == Generation() and build.options == ()


def test_transformers_js_is_silently_greedy_so_beams_are_refused(written: Write) -> None:
    message = refused(written(text("{num_beams: 2, early_stopping: true}")), "web")
    assert "error[R026]: transformers.js has no beam search, and 2 beams are asked for" in message
    assert "it.yaml:9:25" in message
    assert "says nothing: src/models/modeling_utils.js of 4.3.1" in " ".join(message.split())
    assert "write `generation: {num_beams: 1}`, which `targets.web` can say" in message


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{do_sample: true, top_p: 0.9}", "transformers.js does not heed `top_p`"),
        ("{do_sample: true, num_return_sequences: 3}", "transformers.js writes one text, and 3"),
    ],
)
def test_what_else_transformers_js_ignores(written: Write, section: str, said: str) -> None:
    assert said in refused(written(text("", web=section)), "web")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{do_sample: true}", "`compose: single-file` cannot draw tokens"),
        ("{num_beams: 3, num_return_sequences: 2}", "gives one text of a prompt, and 2 are asked"),
        ("{num_beams: 2, early_stopping: false}", "stops when as many texts have ended as there"),
        ("{num_beams: 2, length_penalty: -1.0}", "no `length_penalty` below 0, and this is -1.0"),
        ("{num_beams: 2, repetition_penalty: 0.5}", "no `repetition_penalty` below 1"),
        ("{num_beams: 200}", "has 128 beams at most, not 200"),
    ],
)
def test_what_no_graph_holds(written: Write, section: str, said: str) -> None:
    assert said in " ".join(refused(written(text("", desktop=section)), "desktop").split())
    # Where the application chooses the words, it is the application's.
    resolve(load_recipe(written(text("", desktop=section, compose="none"))), "desktop")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{num_beams: 0}", "error[R005]: `num_beams` is 0"),
        ("{repetition_penalty: 0}", "write a number above 0"),
        ("{do_sample: true, top_p: 1.5}", "write a number from 0 to 1"),
        ("{num_return_sequences: 2}", "error[R027]: 2 texts are asked for, and there is 1 beam"),
        ("{length_penalty: 2.0}", "`length_penalty` says nothing without `num_beams` of 2 or more"),
        ("{temperature: 2.0}", "`temperature` says nothing without `do_sample: true`"),
    ],
)
def test_values_that_mean_nothing(written: Write, section: str, said: str) -> None:
    message = refused(written(text("", desktop=section, compose="none")), "desktop")
    assert said in " ".join(message.split())
    assert "it.yaml:11:" in message


def test_other_families_refuse_the_section(written: Write) -> None:
    other = text("{num_beams: 1}").replace("causal-lm", "sentence-embedding")
    message = refused(written(other), "web")
    assert "`generation` says nothing to models of sentence-embedding" in message
    assert "it is for causal-lm" in message
