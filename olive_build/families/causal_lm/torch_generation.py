"""What PyTorch says of texts and writes, for proofs and timing. Imported in worker processes only.

Penalties, padding and stopping are those of transformers' own generate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers.cache_utils import DynamicCache

from olive_build.errors import StepError
from olive_build.families.causal_lm import generation
from olive_build.families.causal_lm.spec import TOKENS_WRITTEN, CausalLmFacts, inspect
from olive_build.families.causal_lm.torch_sizes import sizes_in
from olive_build.families.sentence_embedding.texts import read_texts
from olive_build.proof.generation import Decoding, Ends, padded, scored, until_end
from olive_build.proof.predictions import Confidence, Predictions, Tokens
from olive_build.proof.references.generation import Case, GenerationReference

Ids = npt.NDArray[np.int64]

# Longer texts are cut: a verdict needs no more of them, and logits are large.
LONGEST_TEXT = 256
PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 8, 8, 40
# Of a batch's prompts, so that most of its rows are padded.
BATCH_LENGTHS = (8, 5, 3, 6)
GREEDY = Decoding(NEW_TOKENS)
PENALIZED = replace(GREEDY, repetition_penalty=1.3, no_repeat_ngram_size=2)


def reference_of(
    folder: Path, model: Any, data: Path, options: Mapping[str, str]
) -> GenerationReference:
    """Return what `model`, which is that of `folder`, says of the texts in `data`, and writes.

    It writes greedily, with penalties, and as the recipe's `options` and the model's own files
    promise. Raises StepError for bad data, and for a model that takes too few tokens to write any.
    """
    facts = inspect(folder)
    count = _new_tokens(facts, data)
    promised = promise(folder, options, count)
    token_ids = _tokens(folder, data, min(LONGEST_TEXT, facts.positions or LONGEST_TEXT))
    ways = dict.fromkeys(
        (*(replace(way, max_new_tokens=count) for way in (GREEDY, PENALIZED)), promised)
    )
    ends, cases = ends_of(facts), _cases(token_ids, tuple(ways), data)
    said = [_read(model, ids) for ids in token_ids]
    found = [pair for case in cases for pair in _written(model, case, token_ids, ends)]
    predictions = Predictions(
        nll=np.concatenate([nll for nll, _ in said]),
        best=np.concatenate([best for _, best in said]),
        written=tuple(written for written, _ in found),
        texts=len(token_ids),
    )
    choices = tuple(choice for _, choice in found)
    return GenerationReference(tuple(token_ids), ends, cases, promised, predictions, choices)


def promise(folder: Path, options: Mapping[str, str], count: int) -> Decoding:
    """Return how a file that searches by itself does it, for texts of `count` new tokens.

    Chance is left aside: where a model's own files ask for sampling, its likeliest tokens count.
    """
    asked = generation.decoding(folder, options)
    beams = asked.num_beams > 1
    return Decoding(
        max_new_tokens=count,
        repetition_penalty=asked.repetition_penalty,
        no_repeat_ngram_size=asked.no_repeat_ngram_size,
        num_beams=asked.num_beams,
        # What concerns beams alone says nothing of a greedy search.
        length_penalty=asked.length_penalty if beams else 1.0,
        early_stopping=asked.early_stopping if beams else False,
    )


def ends_of(facts: CausalLmFacts) -> Ends:
    """Return the tokens that end and pad texts; without one for padding, generate takes an end."""
    return Ends(facts.eos, facts.pad if facts.pad is not None else (*facts.eos, 0)[0])


def _new_tokens(facts: CausalLmFacts, data: Path) -> int:
    most = facts.positions or LONGEST_TEXT
    count = min(NEW_TOKENS, most - PROMPT_TOKENS)
    if count < 1:
        raise StepError(
            f"the model takes {most} tokens at most",
            where=str(data),
            why=f"nothing can be written after a prompt of {PROMPT_TOKENS}",
        )
    return count


def _tokens(folder: Path, data: Path, longest: int) -> list[Ids]:
    """Return the tokens of each text that has a next one to predict."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), use_fast=True)
    encoded = tokenizer(read_texts(data), truncation=True, max_length=longest)["input_ids"]
    return [np.asarray(ids, np.int64) for ids in encoded if len(ids) > 1]


def _cases(token_ids: Sequence[Ids], ways: Sequence[Decoding], data: Path) -> tuple[Case, ...]:
    """Return prompts one by one and as a padded batch, continued in each of the ways."""
    rows = [row for row, ids in enumerate(token_ids) if len(ids) >= PROMPT_TOKENS][:PROMPTS]
    if len(rows) < PROMPTS:
        raise StepError(
            f"the proof's data has {len(rows)} texts that can be begun and continued",
            where=str(data),
            why=f"{PROMPTS} prompts are the first {PROMPT_TOKENS} tokens of a text each",
            hint=f"give {PROMPTS} texts or more that are longer",
        )
    alone = tuple(Case((row,), (PROMPT_TOKENS,), way) for way in ways for row in rows)
    lengths = tuple(BATCH_LENGTHS[place % len(BATCH_LENGTHS)] for place in range(PROMPTS))
    return alone + tuple(Case(tuple(rows), lengths, way) for way in ways)


def _read(model: Any, ids: Ids) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    with torch.inference_mode():
        logits = model(input_ids=torch.from_numpy(ids[None])).logits[0]
    return scored(logits.float().numpy(), ids)


def _written(
    model: Any, case: Case, token_ids: Sequence[Ids], ends: Ends
) -> list[tuple[Tokens, Confidence]]:
    """Return what is written after each prompt of a case, and how sure PyTorch was of it."""
    ids, mask = padded(case.prompts(token_ids), ends.pad)
    found = generate(model, ids, mask, case.decoding, ends)
    rows = [until_end(row, ends) for row in found.sequences[:, ids.shape[1] :].tolist()]
    if case.decoding.num_beams > 1:
        # Of beams it is whole texts that are weighed: no step of one is sure or tied by itself.
        nothing = np.zeros(0, np.float32)
        return [(row, Confidence(nothing, nothing)) for row in rows]
    top = torch.stack(found.scores, 1).topk(2, dim=-1).values  # [rows, steps, 2]
    best, margin = top[..., 0].numpy(), (top[..., 0] - top[..., 1]).numpy()
    return [
        (row, Confidence(best[index, : len(row)].copy(), margin[index, : len(row)].copy()))
        for index, row in enumerate(rows)
    ]


def generate(model: Any, ids: Ids, mask: Ids, how: Decoding, ends: Ends) -> Any:
    """Return transformers' own output for prompts [rows, tokens] with their mask, with scores.

    What the model's generation_config.json asks for beside `how` is left aside.
    """
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=list(ends.eos) or None, pad_token_id=ends.pad
    )
    with torch.inference_mode():
        return model.generate(
            input_ids=torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask),
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **asdict(how),
        )


def runner(
    folder: Path, model: Any, takes: str, sample: str, size: int, batch: int
) -> Callable[[], Any]:
    """Return a call that runs one step in PyTorch eager, for timing: `size` tokens after others.

    `sample` says after how many, as `text_of` does. The cache is transformers' own, and is as long
    before each call as before the first. Where `takes` is `prompt`, generate writes behind a prompt
    of `size` tokens instead, by what the model's own files ask for.
    """
    if takes == "prompt":
        return _generator(folder, model, size, batch)
    sizes, before = sizes_in(folder), int(sample)
    ids = torch.ones(batch, size, dtype=torch.int64)
    mask = torch.ones(batch, before + size, dtype=torch.int64)
    empty = [torch.zeros(batch, heads, before, size) for heads, size in sizes.caches]
    past = list(zip(empty[::2], empty[1::2], strict=True))

    def run() -> Any:
        with torch.inference_mode():
            # A step makes new tensors of these and keeps them in the cache alone.
            cache = DynamicCache(past) if before else DynamicCache()
            return model(
                input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True
            ).logits

    return run


def _generator(folder: Path, model: Any, size: int, batch: int) -> Callable[[], Any]:
    how, ends = promise(folder, {}, TOKENS_WRITTEN), ends_of(inspect(folder))
    ids = np.ones((batch, size), np.int64)
    return lambda: generate(model, ids, np.ones_like(ids), how, ends).sequences
