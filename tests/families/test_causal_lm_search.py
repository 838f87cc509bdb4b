"""A model under ONNX Runtime's search operators writes what generate writes, token for token."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
import transformers
from causal_lm_miniatures import END, POSITIONS, VOCABULARY, Exported, exported
from onnxruntime.quantization import quantize_dynamic

from olive_build.clients.onnxruntime_client import open_session
from olive_build.families.causal_lm.compose import compose
from olive_build.families.causal_lm.generation import Decoding
from olive_build.proof.generation import CachedModel, Ends, continued, until_end
from olive_build.proof.generation import Decoding as LoopDecoding

Ids = npt.NDArray[np.int64]
NEW_TOKENS = 16
LENGTHS = (6, 3, 1, 5)
WAYS = {
    "greedy": Decoding(),
    "greedy-penalties": Decoding(repetition_penalty=1.3, no_repeat_ngram_size=2),
    "beams-2": Decoding(num_beams=2, early_stopping=True),
    "beams-2-penalties": Decoding(
        num_beams=2,
        early_stopping=True,
        repetition_penalty=1.3,
        no_repeat_ngram_size=3,
        length_penalty=2.0,
    ),
    "beams-4-penalties": Decoding(
        num_beams=4, early_stopping=True, repetition_penalty=1.2, no_repeat_ngram_size=2
    ),
    "beams-4-short": Decoding(num_beams=4, early_stopping=True, length_penalty=0.0),
}


def composed(model: Exported, how: Decoding, out: Path, graph: Path | None = None) -> Any:
    """Return a session of the file that searches by itself."""
    options = {
        name: json.dumps(value) for name, value in how.as_json().items() if value is not None
    }
    found = compose({"model": onnx.load(graph or model.graph)}, model.folder, options)
    onnx.save(found, out / "model.onnx")
    return open_session(out / "model.onnx")


def padded_prompts(seed: int, pad: int, lengths: tuple[int, ...] = LENGTHS) -> tuple[Ids, Ids]:
    """Return seeded prompts with their mask, padded on the left; any token may be in them."""
    random = np.random.default_rng(seed)
    ids = np.full((len(lengths), max(lengths)), pad, np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, -length:] = random.integers(0, VOCABULARY, length)
        mask[row, -length:] = 1
    # A prompt may begin with the token that ends texts, and pads them.
    ids[0, 0] = END
    return ids, mask


def written(session: Any, ids: Ids, mask: Ids, new_tokens: int = NEW_TOKENS) -> Ids:
    feeds = {
        "input_ids": ids,
        "attention_mask": mask,
        "max_new_tokens": np.array([new_tokens], np.int64),
    }
    found: Ids = session.run(None, feeds)[0]
    return found


@functools.cache
def loaded(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(str(folder)).eval()


def generated(
    model: Exported, how: Decoding, ids: Ids, mask: Ids, new_tokens: int = NEW_TOKENS
) -> Ids:
    """Return PyTorch's own, with ends that come in every few texts."""
    torch_model = loaded(model.folder)
    torch_model.generation_config = transformers.GenerationConfig(
        eos_token_id=list(model.facts.eos), pad_token_id=model.facts.pad
    )
    options = how.as_json() | {"max_new_tokens": new_tokens}
    for sampling in ("temperature", "top_k", "top_p"):
        options.pop(sampling)
    if how.num_beams == 1:
        del options["early_stopping"], options["length_penalty"]
    with torch.inference_mode():
        found = torch_model.generate(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), **options
        )
    array: Ids = found.numpy()
    return array


def ending(model: Exported, eos: tuple[int, ...], folder: Path) -> Exported:
    """Return a copy of the model whose texts end by other tokens."""
    copy = folder / "model"
    copy.mkdir()
    for file in model.folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    saved = json.loads((copy / "generation_config.json").read_text())
    ends = list(eos) if len(eos) > 1 else eos[0]
    (copy / "generation_config.json").write_text(json.dumps(saved | {"eos_token_id": ends}))
    return replace(model, folder=copy, facts=replace(model.facts, eos=eos))


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def model(request: pytest.FixtureRequest) -> Exported:
    return exported(request.param)


@pytest.mark.parametrize("way", WAYS)
def test_it_writes_what_generate_writes(model: Exported, way: str, tmp_path: Path) -> None:
    """One by one and in padded batches, with prompts that begin with the token of padding."""
    session, pad = composed(model, WAYS[way], tmp_path), model.facts.pad
    assert pad is not None
    for seed, lengths in enumerate(((5,), LENGTHS)):
        ids, mask = padded_prompts(seed, pad, lengths)
        expected = generated(model, WAYS[way], ids, mask)
        np.testing.assert_array_equal(written(session, ids, mask), expected)


@pytest.mark.parametrize("way", WAYS)
def test_texts_end_where_generate_ends_them(model: Exported, way: str, tmp_path: Path) -> None:
    """With an end that is likely: some texts are shorter, and some end at the very last step."""
    how, pad = WAYS[way], model.facts.pad
    assert pad is not None
    ids, mask = padded_prompts(7, pad)
    usual = generated(model, how, ids, mask)
    # The second token of the second text ends all.
    end = int(usual[1, ids.shape[1] + 1])
    other = ending(model, (end,), tmp_path)
    session = composed(other, how, tmp_path)
    shorter = 0
    for new_tokens in (1, 2, 3, 5, 9):
        expected = generated(other, how, ids, mask, new_tokens)
        np.testing.assert_array_equal(written(session, ids, mask, new_tokens), expected)
        shorter += int((expected[:, ids.shape[1] :] == end).any())
    assert shorter


def test_any_of_several_ends_ends_a_greedy_text(model: Exported, tmp_path: Path) -> None:
    ids, mask = padded_prompts(7, END)
    usual = generated(model, Decoding(), ids, mask)
    ends = tuple(dict.fromkeys(int(usual[row, ids.shape[1] + 3 + row]) for row in range(3)))
    other = ending(model, ends, tmp_path)
    expected = generated(other, Decoding(), ids, mask)
    assert len(ends) > 1 and expected.shape[1] <= usual.shape[1]
    np.testing.assert_array_equal(
        written(composed(other, Decoding(), tmp_path), ids, mask), expected
    )


def test_no_more_is_written_than_the_model_has_positions(model: Exported, tmp_path: Path) -> None:
    ids, mask = padded_prompts(1, END, (POSITIONS - 3,))
    found = written(composed(model, Decoding(), tmp_path), ids, mask)
    assert found.shape == (1, POSITIONS)


def test_weights_are_stored_as_often_as_in_the_step(model: Exported, tmp_path: Path) -> None:
    composed(model, WAYS["beams-4-penalties"], tmp_path)
    whole, step = (tmp_path / "model.onnx").stat().st_size, model.graph.stat().st_size
    assert whole < step + 40_000


@pytest.mark.parametrize("way", ["greedy", "greedy-penalties"])
def test_an_int8_step_is_searched_as_a_loop_over_it_does(
    model: Exported, way: str, tmp_path: Path
) -> None:
    graph = tmp_path / "int8.onnx"
    quantize_dynamic(str(model.graph), str(graph))
    session = composed(model, WAYS[way], tmp_path, graph)
    loop, ends = CachedModel(open_session(graph)), Ends(model.facts.eos, END)
    how = LoopDecoding(NEW_TOKENS, WAYS[way].repetition_penalty, WAYS[way].no_repeat_ngram_size)
    for seed in range(3):
        ids, mask = padded_prompts(seed, END, (4,))
        found = until_end(written(session, ids, mask)[0, 4:].tolist(), ends)
        assert found == continued(loop, [ids[0]], how, ends)[0]
