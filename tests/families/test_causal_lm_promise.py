"""What a model's own generation_config.json asks for in vain is said before anything is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from olive_build.errors import PlanError
from olive_build.families.causal_lm.generation import Decoding, decoding
from olive_build.families.causal_lm.promise import check_promise
from olive_build.families.causal_lm.sizes import Sizes
from olive_build.families.causal_lm.spec import CausalLmFacts

TRANSFORMERS_JS = "transformers.js"


def facts(*eos: int) -> CausalLmFacts:
    sizes = Sizes(((8, 8),), ((8, 8),), 8, True)
    return CausalLmFacts(
        architecture="gpt2",
        positions=8,
        bos=None,
        eos=eos,
        pad=None,
        sizes=sizes,
        tied=True,
        inputs=(),
    )


def folder_with(path: Path, **saved: Any) -> Path:
    (path / "generation_config.json").write_text(json.dumps(saved))
    return path


def check(folder: Path, layout: str, compose: str, *eos: int, **asked: Any) -> None:
    options = {name: json.dumps(value) for name, value in asked.items()}
    check_promise(facts(*(eos or (0,))), folder, options, layout, compose)


def refusal(folder: Path, layout: str, compose: str, *eos: int, **asked: Any) -> str:
    with pytest.raises(PlanError) as raised:
        check(folder, layout, compose, *eos, **asked)
    return raised.value.render()


def test_the_recipe_wins_over_the_model_and_that_over_generates_defaults(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, num_beams=4, repetition_penalty=1.1, top_k=None)
    found = decoding(folder, {"num_beams": "2", "early_stopping": "true"})
    assert found == Decoding(num_beams=2, repetition_penalty=1.1, early_stopping=True)


def test_beams_of_the_model_itself_are_refused_for_transformers_js(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, num_beams=4)
    said = refusal(folder, TRANSFORMERS_JS, "none")
    assert "transformers.js has no beam search, and 4 beams are asked for" in said
    assert str(folder / "generation_config.json") in said
    assert "write `generation: {num_beams: 1}`" in said
    check(folder, TRANSFORMERS_JS, "none", num_beams=1)


def test_several_texts_of_the_model_itself_are_refused_for_transformers_js(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, num_return_sequences=3, do_sample=True)
    said = refusal(folder, TRANSFORMERS_JS, "none")
    assert "writes one text, and 3 are asked for" in said
    assert "write `generation: {num_return_sequences: 1}`" in said
    check(folder, TRANSFORMERS_JS, "none", num_return_sequences=1)


def test_a_share_of_the_model_itself_is_refused_where_tokens_are_drawn(tmp_path: Path) -> None:
    """transformers.js leaves it out, and would draw from all tokens."""
    folder = folder_with(tmp_path, top_p=0.9, do_sample=True)
    assert "does not heed `top_p`, and 0.9 is asked for" in refusal(folder, TRANSFORMERS_JS, "none")
    check(folder, TRANSFORMERS_JS, "none", top_p=1)
    check(folder, TRANSFORMERS_JS, "none", do_sample=False)


@pytest.mark.parametrize("value", [[4], {}, "four"])
def test_values_of_the_model_that_are_no_numbers(tmp_path: Path, value: object) -> None:
    said = refusal(folder_with(tmp_path, num_beams=value), TRANSFORMERS_JS, "none")
    assert "cannot read generation_config.json" in said
    assert f"'num_beams' is {value!r}, and generate takes a number" in said


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({"do_sample": True}, "cannot draw tokens"),
        ({"num_beams": 2}, "as there are beams, and `early_stopping` is false"),
        (
            {"num_beams": 2, "early_stopping": "never"},
            'as there are beams, and `early_stopping` is "never"',
        ),
        (
            {"num_beams": 2, "early_stopping": True, "length_penalty": -1.0},
            "takes no `length_penalty` below 0, and this is -1.0",
        ),
        ({"min_length": 5}, "the model's generation_config.json has `min_length`"),
        ({"suppress_tokens": [3]}, "has `suppress_tokens`"),
        ({"renormalize_logits": True}, "has `renormalize_logits`"),
    ],
)
def test_what_the_models_files_ask_of_a_graph_in_vain(
    tmp_path: Path, saved: dict[str, Any], said: str
) -> None:
    folder = folder_with(tmp_path, **saved)
    message = refusal(folder, "plain", "single-file")
    assert said in message and "compose: none" in message
    check(folder, "plain", "none")


def test_beams_need_one_end(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    asked: dict[str, Any] = {"num_beams": 2, "early_stopping": True}
    assert "2 tokens end a text" in refusal(folder, "plain", "single-file", 1, 2, **asked)
    check(folder, "plain", "single-file", 1, 2)
