"""Small models of seeded weights, as save_pretrained writes them beside their processors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = ROOT / "olive_build" / "proof" / "data" / "calibration-sentences.jsonl"
WORDS = 800


def sentences() -> list[str]:
    return [json.loads(line)["text"] for line in SENTENCES.read_text("utf-8").splitlines()]


def tokens(folder: Path) -> None:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=WORDS, special_tokens=special)
    made.train_from_iterator(sentences(), trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=False))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, mask_token="[MASK]", model_max_length=64, **names
    ).save_pretrained(folder)
    labels = ["O", "PER", "LOC", "ORG", "MISC"]
    config = transformers.DistilBertConfig(
        vocab_size=WORDS,
        dim=64,
        hidden_dim=128,
        n_layers=2,
        n_heads=4,
        max_position_embeddings=64,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    transformers.DistilBertForTokenClassification(config).eval().save_pretrained(folder)


def boxes(folder: Path) -> None:
    config = transformers.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=[64, 64],
        patch_size=16,
        num_detection_tokens=8,
        num_labels=3,
    )
    transformers.YolosForObjectDetection(config).eval().save_pretrained(folder)
    size = {"height": 64, "width": 64}
    transformers.YolosImageProcessor(size=size).save_pretrained(folder)


def images(folder: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        num_labels=4,
    )
    transformers.ViTForImageClassification(config).eval().save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size).save_pretrained(folder)


def words(folder: Path) -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator(sentences(), trainer)
    ends = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **ends).save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=WORDS,
        n_positions=128,
        n_embd=64,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.GPT2LMHeadModel(config).eval().save_pretrained(folder)


KINDS: dict[str, Callable[[Path], None]] = {
    "tokens": tokens,
    "boxes": boxes,
    "images": images,
    "words": words,
}
