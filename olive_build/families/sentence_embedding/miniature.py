"""A BERT of two layers with seeded weights and a vocabulary of letters and frequent words."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = "the people of this city were happy to see that new house near old river".split()
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_LENGTH = 256
SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": MAX_LENGTH,
}


def write_miniature(out: Path) -> None:
    """Write config, weights, tokenizer and pooling configuration below `out`."""
    vocabulary = _vocabulary()
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=len(vocabulary), **SIZES)
    transformers.BertModel(config).eval().save_pretrained(str(out))
    _tokenizer(vocabulary).save(str(out / "tokenizer.json"))
    _write(
        out / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": MAX_LENGTH},
    )
    first = modules.Transformer(str(out))
    after = [modules.Pooling(config.hidden_size), modules.Normalize()]
    model = SentenceTransformer(modules=[first, *after], device="cpu")
    model.save(str(out), create_model_card=False)


def _vocabulary() -> list[str]:
    letters = [*string.ascii_lowercase, *string.digits]
    words = [word for word in dict.fromkeys(WORDS) if word not in letters]
    return [*SPECIAL, *string.punctuation, *letters, *(f"##{c}" for c in letters), *words]


def _tokenizer(vocabulary: list[str]) -> Tokenizer:
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _write(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
