"""A small residual network with seeded weights, and images that it can be proved on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import transformers

from olive_build.families.image_classification.processor import PREPROCESSOR
from olive_build.families.image_classification.spec import inspect
from olive_build.families.image_classification.torch_side import load, logits, pixels_of

SIZE = 16
CLASSES = 5
# So many are drawn, and half are kept: those whose class is not in doubt.
DRAWN = 128
SCALE = 20


def write_miniature(out: Path, layers: int = 0) -> None:
    """Write the model's files, test.npz and calibration.npz below `out`.

    It has two stages of one layer, or `layers` stages of as many where those are more. Labels are
    what PyTorch says itself, so a sound file has full marks.
    """
    torch.manual_seed(0)
    stages = max(2, layers)
    config = transformers.ResNetConfig(
        embedding_size=16,
        hidden_sizes=[32, *[64] * (stages - 1)],
        depths=[max(1, layers)] * stages,
        layer_type="basic",
        id2label={index: f"class {index}" for index in range(CLASSES)},
    )
    model = transformers.ResNetForImageClassification(config).eval()
    with torch.no_grad():
        # Seeded scores differ little; larger ones leave no class in doubt.
        model.classifier[1].weight *= SCALE
    model.save_pretrained(str(out))
    prepared = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": SIZE, "width": SIZE},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    }
    text = json.dumps(prepared, indent=2) + "\n"
    (out / PREPROCESSOR).write_text(text, encoding="utf-8")
    _write_images(out)


def _write_images(out: Path) -> None:
    facts, model = inspect(out), load(out)
    random = np.random.default_rng(0)
    for name in ("test.npz", "calibration.npz"):
        # Coarse patches: images of noise alone all look alike to a network.
        coarse = random.integers(0, 256, (DRAWN, 4, 4, facts.channels), dtype=np.uint8)
        images = coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)
        scores = logits(model, pixels_of(facts).prepare(images))
        order = np.sort(scores, axis=1)
        sure = np.sort(np.argsort(order[:, -2] - order[:, -1])[: DRAWN // 2])
        np.savez(out / name, images=images[sure], labels=scores[sure].argmax(1))
