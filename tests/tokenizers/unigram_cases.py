"""Unigram tokenizers for tests, trained on texts of many scripts, as XLM-R's are made.

nmt_nfkc.xz is the map that sentencepiece 0.2.3 (Apache-2.0) writes into a model trained with
`normalization_rule_name=nmt_nfkc`, its default, which XLM-R, T5 and CamemBERT were trained with.
"""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import UnigramTrainer

from tests.tokenizers.byte_level_cases import byte_level
from tests.tokenizers.strange_texts import PIECES

KINDS = ("xlm-r", "t5", "plain")
PROMPTS = {"xlm-r": "query: "}
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


@cache
def _trained() -> str:
    """Return a tokenizer of 8,000 pieces, trained on the words of Whisper's 99 languages."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = _words()
    trainer = UnigramTrainer(
        vocab_size=8000, special_tokens=list(SPECIAL), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*PIECES, *_real_words()], trainer)
    return tokenizer.to_str()


def _real_words() -> list[str]:
    """Return 40,000 words and parts of words, ten a line, of all languages."""
    whisper = byte_level("gpt2")
    words = [whisper.decode([number]) for number in range(10_000, 50_000)]
    words = [word for word in words if "\ufffd" not in word]
    return ["".join(words[start : start + 10]) for start in range(0, len(words), 10)]


def _words() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )


def unigram(kind: str) -> Tokenizer:
    """Return a tokenizer that pads.

    `xlm-r` normalizes, has tokens around a text and a mask that takes the spaces before it; `t5`
    has one token after a text and ends words at U+0020 alone; `plain` normalizes nothing.
    """
    tokenizer = Tokenizer.from_str(_trained())
    if kind != "plain":
        tokenizer.normalizer = normalizers.Precompiled(charsmap())
    if kind == "t5":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    around = {"xlm-r": "<s> $A </s>", "t5": "$A </s>", "plain": "$A"}[kind]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=around,
        pair=around.replace("$A", "$A $B"),
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")],
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
    return tokenizer


def charsmap() -> bytes:
    """Return sentencepiece's map of its default normalizer."""
    return lzma.decompress((Path(__file__).parent / "nmt_nfkc.xz").read_bytes())
