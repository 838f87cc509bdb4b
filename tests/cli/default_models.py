"""Small seeded models of architectures that no recipe is shipped of, as transformers saves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from olive_build.families.causal_lm.miniature import POSITIONS, write_tokenizer

SIZE, CLASSES, IMAGES = 32, 4, 32
NAMES = {index: f"class {index}" for index in range(CLASSES)}
LABELS: dict[str, Any] = {"id2label": NAMES, "label2id": {v: k for k, v in NAMES.items()}}
PREPARED = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "size": {"height": SIZE, "width": SIZE},
}
HEAD = """\
recipe: 1
name: {name}
description: A small model with seeded weights
model:
  family: {family}
  licence: Apache-2.0
  source: path
  sources: {{path: {{folder: {name}}}}}
verify:
  timing: false
{more}"""
# Labels are drawn, and seeded weights know nothing of them: the cosines of the logits are held.
IMAGE_DATA = """\
  data: {file: test.npz}
  calibration: {file: calibration.npz}
  every_variant: {accuracy_loss: 100, cosine_p1: 0.9}
"""


def resnet() -> Any:
    sizes = {"embedding_size": 32, "hidden_sizes": [32, 64], "depths": [1, 1]}
    config = transformers.ResNetConfig(**sizes, layer_type="basic", **LABELS)
    return transformers.ResNetForImageClassification(config)


def convnext() -> Any:
    sizes = {"hidden_sizes": [32, 64], "depths": [1, 1], "num_stages": 2}
    config = transformers.ConvNextConfig(**sizes, layer_scale_init_value=1.0, **LABELS)
    return transformers.ConvNextForImageClassification(config)


def mobilenet() -> Any:
    config = transformers.MobileNetV2Config(image_size=SIZE, depth_multiplier=0.35, **LABELS)
    return transformers.MobileNetV2ForImageClassification(config)


def vit() -> Any:
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2}
    config = transformers.ViTConfig(
        image_size=SIZE, patch_size=8, num_hidden_layers=2, **sizes, **LABELS
    )
    return transformers.ViTForImageClassification(config)


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "resnet": resnet,
    "convnext": convnext,
    "mobilenet": mobilenet,
    "vit": vit,
}


def write_classifier(recipes: Path, name: str, targets: str) -> None:
    """Write a classifier and its recipe; every convolution keeps the size of what it is given."""
    torch.manual_seed(0)
    model = CLASSIFIERS[name]().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    model.save_pretrained(recipes / name)
    (recipes / name / "preprocessor_config.json").write_text(json.dumps(PREPARED))
    text = HEAD.format(name=name, family="image-classification", more=IMAGE_DATA)
    (recipes / f"{name}.yaml").write_text(f"{text}targets: {targets}\n", encoding="utf-8")


def write_images(recipes: Path) -> None:
    """Write test.npz and calibration.npz: coarse patches, since images of noise look alike."""
    random = np.random.default_rng(0)
    for name in ("test", "calibration"):
        coarse = random.integers(0, 256, (IMAGES, 4, 4, 3), dtype=np.uint8)
        images = coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)
        labels = random.integers(0, CLASSES, IMAGES)
        np.savez(recipes / f"{name}.npz", images=images, labels=labels)


def write_opt(recipes: Path, targets: str) -> None:
    """Write an OPT of two layers, its tokenizer and its recipe."""
    folder = recipes / "opt"
    folder.mkdir()
    tokenizer = write_tokenizer(folder)
    end = tokenizer.token_to_id("<|endoftext|>")
    torch.manual_seed(0)
    config = transformers.OPTConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        word_embed_proj_dim=64,
        num_hidden_layers=2,
        ffn_dim=256,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    transformers.OPTForCausalLM(config).eval().save_pretrained(folder)
    # Seeded weights find all tokens about as likely, and any rounding another one.
    more = "  every_variant: {token_agreement: 0.5}\n"
    text = HEAD.format(name="opt", family="causal-lm", more=more)
    (recipes / "opt.yaml").write_text(f"{text}targets: {targets}\n", encoding="utf-8")
