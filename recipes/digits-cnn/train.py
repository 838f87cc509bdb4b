"""Train a small ResNet on handwritten digits of three people, and write all that the recipe reads.

    python recipes/digits-cnn/train.py            writes model/, data/ and test.npz
    python recipes/digits-cnn/train.py --check    goes on learning as a device would, and says how

Nothing is needed but the project's environment: the digits come with scikit-learn. It writes

    model/             config.json, preprocessor_config.json, model.safetensors (fp16)
    data/digits.npz    300 images of six other people, uint8 [300, 8, 8, 1], and labels
    test.npz           the other images of the same six people, which nothing learns from

Everything is seeded and runs on one thread: weights are the same with the same build of torch on
the same kind of processor.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from transformers import ResNetConfig, ResNetForImageClassification

HERE = Path(__file__).resolve().parent
SEED = 3
# The images are stored form by form. Each form begins with the ten digits three times in a row,
# which is how these places were found, and was filled in by one person, as it seems.
FORMS = (0, 130, 256, 386, 516, 646, 776, 905, 1029, 1157)
KNOWN = 3  # The model is trained on the first three; the six others are new to it.
LEARNED = 50  # So many images of each new form are to learn from; the others are the test.
CLASSES = tuple("0123456789")
MEAN, STD = 0.3, 0.37
EPOCHS, BATCH, LEARNING_RATE = 60, 32, 3e-3
# What the recipe says of learning on a device.
DEVICE_EPOCHS, DEVICE_BATCH, DEVICE_RATE = 10, 8, 1e-3

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def digits() -> tuple[Images, Labels]:
    """Return all images [1797, 8, 8, 1] in bytes, and which digit each one is."""
    found = load_digits()
    images = np.round(found.images * (255 / 16)).astype(np.uint8)
    return images[..., None], found.target.astype(np.int64)


def split() -> dict[str, npt.NDArray[np.int64]]:
    """Return the rows of the model's own images, of the new ones to learn from, and of the test."""
    forms = [np.arange(*ends) for ends in pairwise(FORMS)]
    new = forms[KNOWN:]
    return {
        "model": np.concatenate(forms[:KNOWN]),
        "data": np.concatenate([form[:LEARNED] for form in new]),
        "test": np.concatenate([form[LEARNED:] for form in new]),
    }


def new_model() -> ResNetForImageClassification:
    """Return the untrained network: 79 thousand parameters."""
    return ResNetForImageClassification(
        ResNetConfig(
            num_channels=1,
            embedding_size=32,
            hidden_sizes=[32, 64],
            depths=[1, 1],
            layer_type="basic",
            id2label=dict(enumerate(CLASSES)),
            label2id={name: index for index, name in enumerate(CLASSES)},
        )
    )


def pixels(images: Images) -> torch.Tensor:
    """Return what the network takes: float [images, 1, 8, 8]."""
    scaled = (images.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy())


def train(model: ResNetForImageClassification, images: Images, labels: Labels) -> None:
    """Train with AdamW under one cycle of the learning rate."""
    given, wanted = pixels(images), torch.from_numpy(labels)
    batches = len(given) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=EPOCHS * batches
    )
    model.train()
    began = time.monotonic()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(given))[: batches * BATCH].split(BATCH):
            step(model, optimizer, given[rows], wanted[rows])
            schedule.step()
    say(f"{EPOCHS} epochs of {len(given)} images in {time.monotonic() - began:.0f} s")


def step(
    model: ResNetForImageClassification,
    optimizer: torch.optim.Optimizer,
    given: torch.Tensor,
    wanted: torch.Tensor,
) -> None:
    """Take one step towards what is wanted."""
    loss = torch.nn.functional.cross_entropy(model(pixel_values=given).logits, wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def go_on_learning(model: ResNetForImageClassification, images: Images, labels: Labels) -> None:
    """Learn as the recipe has it; batch norms keep their statistics, as folded ones do."""
    given, wanted = pixels(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), DEVICE_RATE)
    random = np.random.default_rng(0)
    model.eval()
    for _ in range(DEVICE_EPOCHS):
        order = torch.from_numpy(random.permutation(len(given)))
        for first in range(0, len(given) - DEVICE_BATCH + 1, DEVICE_BATCH):
            rows = order[first : first + DEVICE_BATCH]
            step(model, optimizer, given[rows], wanted[rows])


def accuracy(model: ResNetForImageClassification, images: Images, labels: Labels) -> float:
    """Return the share of images that the network names right."""
    model.eval()
    with torch.inference_mode():
        found = model(pixel_values=pixels(images)).logits.argmax(1).numpy()
    return float((found == labels).mean())


def save(model: ResNetForImageClassification, folder: Path) -> None:
    """Write the model as transformers does, weights in fp16, and how its images are prepared."""
    model.half().save_pretrained(str(folder))
    prepared = {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": False,
        "do_resize": True,
        "resample": 2,
        "size": {"height": 8, "width": 8},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN],
        "image_std": [STD],
    }
    text = json.dumps(prepared, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def write() -> None:
    """Train and write everything."""
    images, labels = digits()
    rows = split()
    (HERE / "data").mkdir(exist_ok=True)
    for part, path in {"data": HERE / "data" / "digits.npz", "test": HERE / "test.npz"}.items():
        np.savez_compressed(path, images=images[rows[part]], labels=labels[rows[part]])
    model = new_model()
    say(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    train(model, images[rows["model"]], labels[rows["model"]])
    save(model, HERE / "model")


def check() -> None:
    """Say how good the saved model is, and how good when it went on learning."""
    images, labels = digits()
    model = ResNetForImageClassification.from_pretrained(str(HERE / "model"), dtype=torch.float32)
    for when in ("before", "after"):
        if when == "after":
            rows = split()["data"]
            go_on_learning(model, images[rows], labels[rows])
        shares = {
            part: accuracy(model, images[rows], labels[rows]) for part, rows in split().items()
        }
        text = ", ".join(f"{part} {share:.3f}" for part, share in shares.items())
        say(f"accuracy {when} learning on a device: {text}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Train where nothing else is asked for, and say how good it is."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if "--check" not in sys.argv[1:]:
        write()
    check()


if __name__ == "__main__":
    main()
