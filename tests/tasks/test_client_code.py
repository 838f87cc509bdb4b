"""The README's code for transformers.js, in Node, answers as transformers does in Python."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor, pipeline

from olive_build.clients.client_packages import clients_folder, require_clients
from olive_build.tasks._drawing import as_images, drawn

TEXT = "Angela Merkel met reporters in Berlin on Monday."
MASKED = "The capital of France is [MASK]."
CHOICES = ["a house", "an animal", "a landscape with the sea"]
Bundles = Callable[[str], Path]

pytestmark = pytest.mark.skipif(
    clients_folder() is None, reason="transformers.js is not installed here; run `make clients`"
)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    as_images(drawn(3, [(150, 211)]))[0].save(path)
    return path


def printed(bundle: Path, wanted: str, picture: Path | None = None) -> Any:
    """Run the README's code, and return the value of the expression `wanted` after it."""
    text = (bundle / "web" / "README.md").read_text(encoding="utf-8")
    program = text.partition("```javascript\n")[2].partition("```")[0]
    assert "'/models/'" in program and f"'{bundle.name}'" in program
    folder = bundle / "models"
    folder.mkdir(exist_ok=True)
    if not (folder / bundle.name).exists():
        (folder / bundle.name).symlink_to(bundle / "web")
    program = program.replace("'/models/'", json.dumps(f"{folder}/"))
    if picture is not None:
        assert "'photo.png'" in program
        program = program.replace("'photo.png'", json.dumps(str(picture)))
    done = subprocess.run(
        [
            "node",
            "--input-type=module",
            "-e",
            f"{program}\nconsole.log(JSON.stringify({wanted}));\nprocess.exit(0);",
        ],
        cwd=require_clients(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rstrip("\n").rpartition("\n")[2])


def library(bundle: Path, **more: Any) -> Any:
    task = bundle.name
    return pipeline(task, model=str(bundle.parents[1] / task), **more)


def test_fill_mask(bundles: Bundles) -> None:
    bundle = bundles("fill-mask")
    expected = library(bundle)(MASKED, top_k=5)
    found = printed(bundle, "found")
    assert [row["token"] for row in found] == [row["token"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_token_classification(bundles: Bundles) -> None:
    bundle = bundles("token-classification")
    expected = library(bundle)(TEXT)
    found = printed(bundle, "found")
    assert [row["entity"] for row in found] == [row["entity"] for row in expected]
    assert [row["index"] for row in found] == [row["index"] for row in expected]


def test_text_classification(bundles: Bundles) -> None:
    bundle = bundles("text-classification")
    text = "The film was far too long, and I loved every minute of it."
    expected = library(bundle)(text, top_k=None)
    found = printed(bundle, "found")
    assert [row["label"] for row in found] == [row["label"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


SAMPLES = "Float32Array.from({ length: 19000 }, (_, at) => 0.1 * Math.sin(at * (0.07 + at / 2e5)))"


def heard(bundle: Path, task: str) -> Any:
    """Return what the library answers to SAMPLES."""
    at = np.arange(19_000)
    samples = (0.1 * np.sin(at * (0.07 + at / 2e5))).astype(np.float32)
    asked = pipeline(task, model=str(bundle.parents[1] / bundle.name))
    return asked({"raw": samples, "sampling_rate": 16_000})


def test_audio_classification(bundles: Bundles) -> None:
    bundle = bundles("audio-classification")
    expected = heard(bundle, "audio-classification")[:5]
    found = printed(bundle, f"await classify({SAMPLES})")
    assert [row["label"] for row in found] == [row["label"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_letters(bundles: Bundles) -> None:
    bundle = bundles("ctc")
    expected = heard(bundle, "automatic-speech-recognition")["text"]
    assert len(set(expected)) > 3
    assert printed(bundle, f"(await transcribe({SAMPLES})).text") == expected


def test_question_answering(bundles: Bundles) -> None:
    bundle = bundles("question-answering")
    folder = bundle.parents[1] / bundle.name
    context = "The ferry from Bergen came in two hours late because of the storm."
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    given = tokenizer("Why was the ferry late?", context, return_tensors="pt")
    with torch.no_grad():
        out = transformers.AutoModelForQuestionAnswering.from_pretrained(folder)(**given)
    inside = [place for place, part in enumerate(given.encodings[0].sequence_ids) if part == 1]
    spans = ((first, last) for first in inside for last in inside if first <= last)
    first, last = max(
        spans, key=lambda span: float(out.start_logits[0, span[0]] + out.end_logits[0, span[1]])
    )
    found = printed(bundle, "found")["answer"]
    assert found == tokenizer.decode(given.input_ids[0, first : last + 1])


def test_object_detection(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("object-detection")
    asked = library(bundle)
    asked.image_processor.size = {"height": 96, "width": 96}
    expected = asked(str(picture), threshold=0.5)
    found = printed(bundle, "found", picture)
    assert [row["label"] for row in found] == [row["label"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        # The client resizes pictures with another library.
        assert one["score"] == pytest.approx(other["score"], abs=0.05)
        for side, value in other["box"].items():
            assert abs(one["box"][side] - value) <= 6


def test_image_segmentation(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("image-segmentation")
    labels = {row["label"] for row in library(bundle)(str(picture))}
    found = printed(bundle, "(await segment(image)).map(({ label }) => label)", picture)
    assert labels & set(found) and set(found) <= {f"LABEL_{index}" for index in range(5)}


def test_depth_estimation(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("depth-estimation")
    assert printed(bundle, "predicted_depth.dims", picture) == [150, 211]


def test_image_feature_extraction(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("image-feature-extraction")
    assert printed(bundle, "vectors.dims", picture) == [1, 17, 32]


def test_zero_shot_image_classification(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("zero-shot-image-classification")
    processor = AutoImageProcessor.from_pretrained(bundle.parents[1] / bundle.name, backend="pil")
    asked = library(bundle, image_processor=processor)
    expected = {row["label"]: row["score"] for row in asked(str(picture), candidate_labels=CHOICES)}
    found = {row["label"]: row["score"] for row in printed(bundle, "found", picture)}
    assert found == pytest.approx(expected, abs=0.1)


def test_image_to_image(bundles: Bundles, picture: Path) -> None:
    bundle = bundles("image-to-image")
    width, height = printed(bundle, "found.size", picture)
    assert (width, height) == (144, 144)
    assert Image.open(picture).size == (211, 150)
