"""Models whose scores have a table of their own: built as they are, and equal to transformers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from saved_models import BERT, Tensors, changed, save

from olive_build.clients.onnxruntime_client import open_session
from olive_build.engine.step import Step
from olive_build.families import module_of
from olive_build.families.causal_lm.torch_side import loading as load_writer
from olive_build.families.whisper import spec as whisper
from olive_build.plan.component import ComponentPlanner
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve
from olive_build.steps.export import Export

OPSET = 18
RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "whisper-digits.yaml"
DIGITS = RECIPE.with_suffix("") / "model"
SIZES = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64}
HEADS = {"decoder_ffn_dim": 64, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
TABLE, SCORES = "model.decoder.embed_tokens.weight", "proj_out.weight"


def with_scores(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], Tensors]:
    """Return a change of a Whisper's tensors: scores of their own, made from the table."""
    return lambda tensors: tensors | {SCORES: change(tensors[TABLE]).contiguous()}


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small seeded Whisper with the files of a real one beside it."""
    folder = tmp_path_factory.mktemp("tied")
    shutil.copytree(DIGITS, folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    config = transformers.WhisperConfig.from_pretrained(DIGITS, **SIZES, **HEADS)
    config.dtype = torch.float32
    return save(transformers.WhisperForConditionalGeneration(config), folder)


@pytest.fixture(scope="module")
def untied(tied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same Whisper with its table's rows the other way round for scores."""
    out = tmp_path_factory.mktemp("untied")
    return changed(tied, out, with_scores(lambda table: table.flip(0)), tie_word_embeddings=False)


def logits(folder: Path, states: torch.Tensor, ids: torch.Tensor) -> Any:
    """Return what transformers' own model says after an encoder's states, [1, tokens, words]."""
    kind = transformers.WhisperForConditionalGeneration
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(encoder_outputs=(states,), decoder_input_ids=ids).logits.numpy()


def test_a_whisper_with_scores_of_their_own_is_exported_as_transformers_has_it(
    tied: Path, untied: Path, tmp_path: Path
) -> None:
    facts = whisper.inspect(untied)
    Export(module_of("whisper", "torch_side"), OPSET, "decoder").run({"source": untied}, tmp_path)
    size = (1, facts.source_positions, facts.dimensions)
    states = torch.randn(size, generator=torch.manual_seed(0))
    ids = torch.tensor([[facts.start, facts.no_timestamps, 7, 3]])
    given = {"input_ids": ids.numpy(), "encoder_hidden_states": states.numpy()}
    (found,) = open_session(tmp_path / "model.onnx").run(["logits"], given)
    expected = logits(untied, states, ids)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    # The other table would be another model.
    assert np.abs(logits(tied, states, ids) - expected).max() > 0.1 * np.abs(expected).max()


def kinds(facts: whisper.WhisperFacts) -> list[str]:
    """Return the kinds of the steps that the decoder's graph is planned with."""
    found: list[str] = []

    def add(step: Step, inputs: Any, variant: Any, stage: str) -> str:
        found.append(type(step).__name__)
        return stage

    build = resolve(load_recipe(RECIPE), "web")
    decoder = facts.components[1]
    ComponentPlanner(build, decoder, True, "source", add, lambda: "").core(None)
    return found


def test_the_table_is_shared_where_configuration_and_bytes_say_so(
    tied: Path, untied: Path, tmp_path: Path
) -> None:
    assert "ShareTiedWeight" in kinds(whisper.inspect(tied))
    assert "ShareTiedWeight" not in kinds(whisper.inspect(untied))
    # Pickled weights become two tensors of the same bytes.
    twice = changed(tied, tmp_path / "twice", with_scores(torch.clone))
    assert whisper.inspect(twice).tied
    # transformers ties nothing that differs, whatever config.json says.
    other = changed(tied, tmp_path / "other", with_scores(lambda table: table + 1))
    assert not whisper.inspect(other).tied
    model = transformers.WhisperForConditionalGeneration.from_pretrained(other)
    assert not torch.equal(model.proj_out.weight, model.model.decoder.embed_tokens.weight)


@pytest.mark.parametrize("kind", ["GPT2", "Qwen2"])
def test_language_models_are_tied_by_their_bytes_too(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    name = "GPT2LMHeadModel" if kind == "GPT2" else "Qwen2ForCausalLM"
    own = (
        {"n_embd": 16, "n_layer": 1, "n_head": 2}
        if kind == "GPT2"
        else BERT | {"num_key_value_heads": 2}
    )
    config = getattr(transformers, f"{kind}Config")(**{**own, "vocab_size": 60})
    config.tie_word_embeddings = True
    folder = save(getattr(transformers, name)(config), tmp_path / "tied")
    assert load_writer(folder).measured["tied"]

    def with_head(tensors: Tensors) -> Tensors:
        return tensors | {"lm_head.weight": torch.ones(60, 16)}

    untied = changed(folder, tmp_path / "untied", with_head)
    assert not load_writer(untied).measured["tied"]
