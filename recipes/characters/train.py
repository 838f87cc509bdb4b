"""Draw characters from fonts, train a small ResNet on them, and write all that the recipe reads.

    pip install --target /tmp/fonts --no-deps matplotlib==3.11.2 pillow==13.0.0
    PYTHONPATH=/tmp/fonts python recipes/characters/train.py

matplotlib is needed for the fonts that its wheel carries, Pillow to draw them; torch and
transformers are those of the project's environment. Building and testing need neither of the two,
since what is written lies beside this file:

    model/             config.json, preprocessor_config.json, model.safetensors (fp16)
    test.npz           images uint8 [1316, 32, 32, 1], labels int64 [1316]
    calibration.npz    images uint8 [376, 32, 32, 1], labels int64 [376]

Everything is seeded: images are the same on every machine with these versions; weights are the
same with the same build of torch on the same processor and number of threads.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from transformers import ResNetConfig, ResNetForImageClassification

HERE = Path(__file__).resolve().parent
SEED = 20
SIZE = 32
# Drawn at this size, distorted there, and then made small: edges stay smooth.
CANVAS = 96
# The merged classes of EMNIST (arXiv 1702.05373): small letters that look like their capitals are
# the capital's class. 0 and O, 1 and I, stay apart; telling them is the hard part.
CLASSES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
SMALL_ALIKE = "cijklmopsuvwxyz"
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"),
    *("DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral"),
    *("STIXGeneralBol", "STIXGeneralBolIta", "cmr10", "cmb10", "cmti10"),
)
# Never seen in training or calibration.
TEST_FONTS = (
    *("DejaVuSans-BoldOblique", "DejaVuSansMono-Oblique", "DejaVuSerif-Italic"),
    *("STIXGeneralItalic", "cmss10", "cmtt10"),
)
PER_CLASS = {"training": 450, "calibration": 8, "test": 28}
EPOCHS = 12
BATCH = 128
LEARNING_RATE = 4e-3
THREADS = 2
MEAN, STD = 0.45, 0.3

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def load_fonts(names: tuple[str, ...]) -> list[ImageFont.FreeTypeFont]:
    """Return the fonts of matplotlib's wheel, without importing matplotlib."""
    package = find_spec("matplotlib")
    if package is None or package.origin is None:
        sys.exit("matplotlib, whose fonts are drawn, is not installed; see the top of this script")
    folder = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"
    return [ImageFont.truetype(str(folder / f"{name}.ttf"), 72) for name in names]


def draw(character: str, font: ImageFont.FreeTypeFont, random: np.random.Generator) -> Images:
    """Return a distorted character, [SIZE, SIZE, 1]: rotated, sheared, scaled, blurred, noisy."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    middle = CANVAS / 2
    ImageDraw.Draw(canvas).text((middle, middle), character, 255, font, anchor="mm")
    angle, shear = random.normal(0, 0.16), random.normal(0, 0.14)
    wide, high = random.uniform(0.72, 1.25, 2)
    shift = random.normal(0, 4.5, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) / np.array([wide, high])
    offset = middle - matrix @ (np.array([middle, middle]) + shift)
    values = (*matrix[0], offset[0], *matrix[1], offset[1])
    canvas = canvas.transform(
        (CANVAS, CANVAS), Image.Transform.AFFINE, values, Image.Resampling.BILINEAR
    )
    canvas = canvas.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 4.0)))
    small = np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64) / 255
    paper, contrast = random.uniform(0, 1), random.uniform(0.35, 0.9)
    ink = paper + contrast if paper + contrast <= 1 else max(paper - contrast, 0.0)
    noisy = paper + (ink - paper) * small + random.normal(0, random.uniform(0, 0.08), small.shape)
    return np.round(np.clip(noisy, 0, 1) * 255).astype(np.uint8)[..., None]


def make(part: str, fonts: tuple[str, ...]) -> tuple[Images, Labels]:
    """Return the part's images [images, SIZE, SIZE, 1] and labels, in a shuffled order."""
    random = np.random.default_rng([SEED, *part.encode()])
    loaded = load_fonts(fonts)
    labels = random.permutation(np.repeat(np.arange(len(CLASSES)), PER_CLASS[part]))
    images = []
    for label in labels:
        character = CLASSES[label]
        if character.lower() in SMALL_ALIKE and random.random() < 0.5:
            character = character.lower()
        images.append(draw(character, loaded[random.integers(len(loaded))], random))
    return np.stack(images), labels.astype(np.int64)


def new_model() -> ResNetForImageClassification:
    """Return the untrained network: 1.0 million parameters."""
    return ResNetForImageClassification(
        ResNetConfig(
            num_channels=1,
            embedding_size=32,
            hidden_sizes=[32, 96, 256],
            depths=[2, 1, 1],
            layer_type="basic",
            id2label=dict(enumerate(CLASSES)),
            label2id={name: index for index, name in enumerate(CLASSES)},
        )
    )


def pixels(images: Images) -> torch.Tensor:
    """Return what the network takes: float [images, 1, SIZE, SIZE]."""
    scaled = (images.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy())


def train(model: ResNetForImageClassification, images: Images, labels: Labels) -> None:
    """Train with AdamW under one cycle of the learning rate."""
    given, wanted = pixels(images), torch.from_numpy(labels)
    steps = EPOCHS * (len(given) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    model.train()
    for epoch in range(EPOCHS):
        began, total = time.monotonic(), 0.0
        for rows in torch.randperm(len(given))[: steps // EPOCHS * BATCH].split(BATCH):
            logits = model(pixel_values=given[rows]).logits
            loss = torch.nn.functional.cross_entropy(logits, wanted[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        seconds = time.monotonic() - began
        say(f"epoch {epoch + 1}: loss {total * EPOCHS / steps:.4f}, {seconds:.0f} s")


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
        # transformers.js makes three channels of one unless it is told not to.
        "do_convert_rgb": False,
        "do_resize": True,
        "resample": 2,
        "size": {"height": SIZE, "width": SIZE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN],
        "image_std": [STD],
    }
    text = json.dumps(prepared, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Draw, train, save, and say how good it is on images of fonts seen and unseen."""
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    training = make("training", FONTS)
    test = make("test", FONTS + TEST_FONTS)
    for part, (images, labels) in {"test": test, "calibration": make("calibration", FONTS)}.items():
        np.savez_compressed(HERE / f"{part}.npz", images=images, labels=labels)
    model = new_model()
    say(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(training[0]):,} images")
    train(model, *training)
    save(model, HERE / "model")
    rounded = ResNetForImageClassification.from_pretrained(str(HERE / "model"), dtype=torch.float32)
    say(f"accuracy on {len(test[0]):,} test images: {accuracy(rounded, *test):.4f}")


if __name__ == "__main__":
    main()
