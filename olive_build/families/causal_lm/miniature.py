"""A small model that was taught one sentence, and a tokenizer of bytes and its words."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers

from olive_build.families.causal_lm.spec import TOKENIZER, TOKENIZER_CONFIG

END = "<|endoftext|>"
# More than the words have pairs for: all become tokens.
MOST_TOKENS, POSITIONS = 384, 128
# Each word once, so that it says which one follows.
WORDS = (
    "the people of this city were happy to see that new house near old river and every child in "
    "it sang while rain fell over green hills where nobody had ever walked before morning"
).split()
TEXTS, SHORTEST, LONGEST = 24, 12, 24
# Seeded weights find all tokens about as likely, and any rounding another one: so it learns, for a
# second or two.
STEPS, ROWS, LENGTH, RATE = 60, 16, 32, 5e-3


def write_miniature(out: Path, layers: int = 0) -> None:
    """Write config, weights, tokenizer, test.jsonl and calibration.jsonl below `out`.

    The model has a layer of each kind, or at least `layers`.
    """
    pairs = max(1, -(-layers // 2))
    settings = {
        "hidden_size": 128,
        "num_layers": 2 * pairs,
        "num_heads": 4,
        "attention_types": [[["global", "local"], pairs]],
        "window_size": 8,
        "max_position_embeddings": POSITIONS,
    }
    write_taught(out, partial(transformers.GPTNeoConfig, **settings))


def write_taught(out: Path, configuration: Callable[..., Any]) -> None:
    """Write what `write_miniature` does of another model.

    `configuration` makes its configuration of the size of the vocabulary and the special tokens.
    """
    random = np.random.default_rng(0)
    for name in ("test.jsonl", "calibration.jsonl"):
        lines = [json.dumps({"text": _text(random)}) for _ in range(TEXTS)]
        (out / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = write_tokenizer(out)
    tokens = ("bos_token_id", "eos_token_id", "pad_token_id")
    ids = dict.fromkeys(tokens, tokenizer.token_to_id(END))
    torch.manual_seed(0)
    config = configuration(vocab_size=tokenizer.get_vocab_size(), **ids)
    model = transformers.AutoModelForCausalLM.from_config(config)
    _teach(model, tokenizer, random)
    model.save_pretrained(str(out))


def _text(random: np.random.Generator) -> str:
    """Return words in the sentence's order from anywhere in it, and on from its beginning."""
    first, count = random.integers(len(WORDS)), random.integers(SHORTEST, LONGEST)
    words = [WORDS[(first + n) % len(WORDS)] for n in range(count)]
    return f"{' '.join(words).capitalize()}."


def _teach(model: Any, tokenizer: Any, random: np.random.Generator) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=RATE)
    for _ in range(STEPS):
        texts = [f"{_text(random)} {_text(random)} {_text(random)}" for _ in range(ROWS)]
        rows = torch.tensor([encoded.ids[:LENGTH] for encoded in tokenizer.encode_batch(texts)])
        optimizer.zero_grad()
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    model.eval()


def write_tokenizer(out: Path) -> Any:
    """Write a byte-level BPE whose merges are of the words above, and return it."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=MOST_TOKENS,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=1,
        show_progress=False,
    )
    # Words of their own frequency, so that no two pairs are as frequent and order decides nothing.
    tokenizer.train_from_iterator(
        [f" {word}" for rank, word in enumerate(WORDS, 1) for _ in range(rank)], trainer
    )
    tokenizer.save(str(out / TOKENIZER))
    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        "model_max_length": POSITIONS,
        **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), END),
    }
    text = json.dumps(settings, indent=2, sort_keys=True)
    (out / TOKENIZER_CONFIG).write_text(text + "\n", encoding="utf-8")
    return tokenizer
