"""Byte-level BPE tokenizers for tests: real merges, with what models of other kinds put around."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, pre_tokenizers, processors

RECIPES = Path(__file__).parents[2] / "recipes"
KINDS = ("gpt2", "roberta", "prefix-space", "many-tokens")
PROMPTS = {"prefix-space": "query: "}
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def byte_level(kind: str) -> Tokenizer:
    """Return a tokenizer that pads, with Whisper's 50,000 merges.

    `gpt2` has nothing around a text; `roberta` has, and a mask that takes the spaces before it;
    `prefix-space` begins texts with a space; `many-tokens` has Whisper's 1,600 added tokens and
    others that are runs of spaces, as GPT-NeoX and ModernBERT have them.
    """
    file = RECIPES / "whisper-digits" / "model" / "tokenizer.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    described["post_processor"] = None
    if kind != "many-tokens":
        described["added_tokens"] = described["added_tokens"][:1]
    tokenizer = Tokenizer.from_str(json.dumps(described))
    pad = "<|endoftext|>"
    if kind in ("roberta", "prefix-space"):
        prefix = kind == "prefix-space"
        tokenizer.add_special_tokens(list(SPECIAL))
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
        begin, end = ((name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>"))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
        tokenizer.post_processor = processors.RobertaProcessing(end, begin, True, prefix)
        pad = "<pad>"
    if kind == "many-tokens":
        tokenizer.add_tokens([AddedToken(" " * count, normalized=False) for count in range(2, 9)])
        tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, normalized=False)])
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad), pad_token=pad)
    return tokenizer
