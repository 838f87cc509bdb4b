"""The README's Python, as pasted into a bundle's folder, answers as transformers does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import pipeline

from olive_build.tasks._drawing import as_images, drawn

TEXT = "Angela Merkel met reporters in Berlin on Monday."
MASKED = "The capital of France is [MASK]."
CONTEXT = "The ferry from Bergen came in two hours late because of the storm."
QUESTION = "Why was the ferry late?"
CHOICES = ["a house", "an animal", "a landscape with the sea"]
Bundles = Callable[[str], Path]


def code(bundle: Path) -> str:
    text = (bundle / "README.md").read_text(encoding="utf-8")
    return text.partition("```python\n")[2].partition("```")[0]


def printed(bundle: Path, more: str = "", picture: Path | None = None) -> str:
    """Return what the README's code prints; `more` is run after it, with its variables.

    A `picture` takes the place of the empty one that the code begins with.
    """
    program = code(bundle)
    if picture is not None:
        opened = f"picture = Image.open({str(picture)!r}).convert('RGB')"
        program = put(program, "picture = Image.new", opened)
    return ran(bundle, program, more)


def heard(bundle: Path, clip: Path) -> str:
    """Return what the README's code prints of a clip, in place of the silence that it has."""
    program = put(code(bundle), "samples = np.zeros", f"samples = np.load({str(clip)!r})")
    return ran(bundle, program)


def put(program: str, begins: str, line: str) -> str:
    """Return a program with another line in place of the one that begins so."""
    changed, count = re.subn(f"(?m)^{re.escape(begins)}.*$", lambda _: line, program)
    assert count == 1
    return changed


def ran(bundle: Path, program: str, more: str = "") -> str:
    """Return what a program prints where neither PyTorch nor transformers is installed."""
    for heavy in ("torch", "transformers"):
        program = f"import sys; sys.modules[{heavy!r}] = None\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{more}"],
        cwd=bundle,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def scored(text: str) -> list[tuple[str, float]]:
    """Return the lines of a name and a number."""
    pairs = (line.rsplit(" ", 1) for line in text.splitlines())
    return [(name, float(number)) for name, number in pairs]


def loaded(folder: Path, kind: str) -> Any:
    return getattr(transformers, kind).from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    as_images(drawn(3, [(150, 211)]))[0].save(path)
    return path


def test_fill_mask(bundles: Bundles) -> None:
    bundle = bundles("fill-mask")
    model = str(bundle.parents[1] / "fill-mask")
    expected = pipeline("fill-mask", model=model)(MASKED, top_k=5)
    found = scored(printed(bundle / "desktop"))
    names = pipeline("fill-mask", model=model).tokenizer.convert_ids_to_tokens(
        [row["token"] for row in expected]
    )
    assert [name for name, _ in found] == names
    assert [score for _, score in found] == pytest.approx([r["score"] for r in expected], abs=1e-5)


def test_token_classification(bundles: Bundles) -> None:
    bundle = bundles("token-classification")
    model = str(bundle.parents[1] / "token-classification")
    expected = pipeline("token-classification", model=model)(TEXT)
    found = [line.split(" ") for line in printed(bundle / "desktop").splitlines()]
    assert found == [[row["word"], row["entity"]] for row in expected]
    assert len({label for _, label in found}) > 1


def test_text_classification(bundles: Bundles) -> None:
    bundle = bundles("text-classification")
    asked = pipeline("text-classification", model=str(bundle.parents[1] / bundle.name))
    expected = asked("The film was far too long, and I loved every minute of it.", top_k=None)
    found = scored(printed(bundle / "desktop"))
    assert [label for label, _ in found] == [row["label"] for row in expected]
    assert [score for _, score in found] == pytest.approx([r["score"] for r in expected], abs=1e-5)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.npy"
    random, time = np.random.default_rng(0), np.arange(19_000) / 16_000
    tones = (np.sin(2 * np.pi * time * pitch * (1 + time)) for pitch in (180, 420, 1100))
    np.save(path, (0.1 * sum(tones) + random.normal(0, 0.02, 19_000)).astype(np.float32))
    return path


def test_audio_classification(bundles: Bundles, clip: Path) -> None:
    bundle = bundles("audio-classification")
    asked = pipeline("audio-classification", model=str(bundle.parents[1] / bundle.name))
    expected = asked({"raw": np.load(clip), "sampling_rate": 16_000}, top_k=5)
    found = scored(heard(bundle / "desktop", clip))
    assert [label for label, _ in found] == [row["label"] for row in expected]
    assert [score for _, score in found] == pytest.approx([r["score"] for r in expected], abs=1e-4)


def test_letters(bundles: Bundles, clip: Path) -> None:
    bundle = bundles("ctc")
    asked = pipeline("automatic-speech-recognition", model=str(bundle.parents[1] / bundle.name))
    expected = asked({"raw": np.load(clip), "sampling_rate": 16_000})["text"]
    assert len(set(expected)) > 3
    assert heard(bundle / "desktop", clip).rstrip("\n") == expected


def test_question_answering(bundles: Bundles) -> None:
    bundle = bundles("question-answering")
    folder = bundle.parents[1] / "question-answering"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    given = tokenizer(QUESTION, CONTEXT, return_tensors="pt", return_offsets_mapping=True)
    offsets = given.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        out = loaded(folder, "AutoModelForQuestionAnswering")(**given)
    parts = given.encodings[0].sequence_ids
    spans = [
        (float(out.start_logits[0, first] + out.end_logits[0, last]), first, last)
        for first in range(len(parts))
        for last in range(first, min(first + 15, len(parts)))
        if parts[first] == parts[last] == 1
    ]
    _, first, last = max(spans)
    found = printed(bundle / "desktop").strip()
    assert found == CONTEXT[offsets[first][0] : offsets[last][1]]


def test_object_detection(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("object-detection")
    folder = bundle.parents[1] / "object-detection"
    asked = pipeline("object-detection", model=str(folder))
    asked.image_processor.size = {"height": 96, "width": 96}  # as the README says
    expected = asked(str(picture), threshold=0.5)
    found = re.findall(r"(?m)^(\S+) (\S+) \[(.*)\]$", printed(bundle / "desktop", picture=picture))
    assert len(expected) > 1
    assert [label for label, _, _ in found] == [row["label"] for row in expected]
    for (_, score, box), row in zip(found, expected, strict=True):
        assert float(score) == pytest.approx(row["score"], abs=1e-4)
        corners = np.array([int(side) for side in box.split(", ")])
        assert np.abs(corners - list(row["box"].values())).max() <= 1
    said = (bundle / "desktop" / "README.md").read_text(encoding="utf-8")
    assert "96 x 96" in said


def test_image_segmentation(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("image-segmentation")
    expected = pipeline("image-segmentation", model=str(bundle.parents[1] / "image-segmentation"))(
        str(picture)
    )
    shares = {row["label"]: (np.array(row["mask"]) > 0).mean() for row in expected}
    found = dict(scored(printed(bundle / "desktop", picture=picture)))
    assert len(shares) > 1 and found == pytest.approx(shares, abs=2e-3)


def test_depth_estimation(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("depth-estimation")
    folder = bundle.parents[1] / "depth-estimation"
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    processor.keep_aspect_ratio = False  # as the README says
    given = processor(images=Image.open(picture), return_tensors="pt")
    with torch.no_grad():
        expected = loaded(folder, "AutoModelForDepthEstimation")(**given).predicted_depth[0]
    more = "import json; print(json.dumps(depth.tolist()))"
    found = np.array(json.loads(printed(bundle / "desktop", more, picture).splitlines()[-1]))
    assert np.abs(found - expected.numpy()).max() <= 1e-4 * expected.abs().max()
    (bundle / "desktop" / "depth.png").unlink()


def test_image_feature_extraction(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("image-feature-extraction")
    folder = str(bundle.parents[1] / "image-feature-extraction")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    asked = pipeline("image-feature-extraction", model=folder, image_processor=processor)
    more = "import json; print(json.dumps(vectors.tolist()))"
    found = json.loads(printed(bundle / "desktop", more, picture).splitlines()[-1])
    assert np.allclose(found, asked(str(picture))[0], atol=1e-4)


def test_zero_shot_image_classification(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("zero-shot-image-classification")
    folder = str(bundle.parents[1] / "zero-shot-image-classification")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    asked = pipeline("zero-shot-image-classification", model=folder, image_processor=processor)
    expected = {row["label"]: row["score"] for row in asked(str(picture), candidate_labels=CHOICES)}
    found = dict(scored(printed(bundle / "desktop", picture=picture)))
    assert found == pytest.approx(expected, abs=1e-4)


def test_image_to_image(bundles: Bundles, picture: Path, tmp_path: Path) -> None:
    bundle = bundles("image-to-image")
    folder = bundle.parents[1] / "image-to-image"
    small = tmp_path / "small.png"
    Image.open(picture).resize((64, 64)).save(small)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    given = processor(images=Image.open(small), return_tensors="pt")
    with torch.no_grad():
        made = loaded(folder, "Swin2SRForImageSuperResolution")(**given).reconstruction[0]
    expected = (made[:, :128, :128].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    printed(bundle / "desktop", picture=small)
    found = np.array(Image.open(bundle / "desktop" / "found.png")).astype(np.float64)
    (bundle / "desktop" / "found.png").unlink()
    assert found.shape == (128, 128, 3) and np.abs(found - expected).max() <= 1
