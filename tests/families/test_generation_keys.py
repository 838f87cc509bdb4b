"""No setting of generation is passed by unread: each is known for what it does to a text."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import transformers

from olive_build.errors import PlanError
from olive_build.families import generation_keys as keys
from olive_build.families.causal_lm.generation import NAMES
from olive_build.families.causal_lm.promise import OF_CLIENT, UNKNOWN, check_promise
from olive_build.families.whisper.client_files import CLOSED, check_generation

OFF = {"stop_strings": ["."], "max_time": 3.0, "guidance_scale": 2.0, "do_sample": True}


def off(name: str) -> Any:
    return OFF.get(name, 3)


def test_every_setting_of_the_library_is_sorted() -> None:
    known = {*keys.CHANGES, *keys.OF_BEAMS, *keys.OF_SAMPLING, *keys.READ, *keys.HARMLESS}
    assert set(vars(transformers.GenerationConfig())) <= known
    assert {*keys.OF_BEAMS, *keys.CHANGES} >= {
        name for name in NAMES if name not in (*keys.OF_SAMPLING, *keys.READ)
    }


@pytest.mark.parametrize("name", CLOSED)
def test_a_whisper_that_asks_for_other_texts_is_refused_by_name(name: str) -> None:
    with pytest.raises(PlanError, match=name):
        check_generation(Path("generation_config.json"), {name: off(name)})
    for harmless in CLOSED[name]:
        check_generation(Path("generation_config.json"), {name: harmless})


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_a_page_would_leave_out_is_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({name: off(name)}), encoding="utf-8")
    # The check for pages reads files, and which kind of model it is.
    facts: Any = SimpleNamespace(architecture="gpt2")
    if name in OF_CLIENT:
        check_promise(facts, tmp_path, {}, "transformers.js", "none")
        return
    with pytest.raises(PlanError, match=name):
        check_promise(facts, tmp_path, {}, "transformers.js", "none")
