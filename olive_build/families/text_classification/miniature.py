"""A BERT of narrow layers with seeded weights, and a tokenizer of letters and some words."""

from __future__ import annotations

import string
from pathlib import Path

import torch
import transformers

WORDS = "the people of this city were happy to see that new house near old river".split()
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CLASSES = 4
MAX_LENGTH = 256


def write_miniature(out: Path, layers: int = 0) -> None:
    """Write config, weights and tokenizer below `out`: names as in bert-base, 16 dimensions.

    The model has two layers, or `layers` where those are more.
    """
    letters = [*string.ascii_lowercase, *string.digits]
    tokens = (*SPECIAL, *string.punctuation, *letters, *(f"##{letter}" for letter in letters))
    ids = {token: index for index, token in enumerate(dict.fromkeys((*tokens, *WORDS)))}
    tokenizer = transformers.BertTokenizer(vocab=ids, model_max_length=MAX_LENGTH)
    tokenizer.save_pretrained(str(out))
    torch.manual_seed(0)
    names = {index: f"topic {index}" for index in range(CLASSES)}
    config = transformers.BertConfig(
        vocab_size=len(ids),
        hidden_size=16,
        num_hidden_layers=max(2, layers),
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_LENGTH,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(str(out))
