"""A Wav2Vec2 of twelve narrow layers with seeded weights, named as in the base model."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers

from olive_build.families.feature_extractor import PREPROCESSOR

CLASSES = 5
PREPARED = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": 16_000,
    "padding_value": 0.0,
    "do_normalize": True,
    "return_attention_mask": False,
}


def write_miniature(out: Path) -> None:
    """Write the model's files below `out`.

    All is as in wav2vec2-base, the weighted sum of layers as SUPERB's have it, but eight channels
    and sixteen dimensions: ten seconds take milliseconds.
    """
    torch.manual_seed(0)
    names = {index: f"speaker {index}" for index in range(CLASSES)}
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=12,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=16,
        use_weighted_layer_sum=True,
        vocab_size=32,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    transformers.Wav2Vec2ForSequenceClassification(config).eval().save_pretrained(str(out))
    text = json.dumps(PREPARED, indent=2) + "\n"
    (out / PREPROCESSOR).write_text(text, encoding="utf-8")
