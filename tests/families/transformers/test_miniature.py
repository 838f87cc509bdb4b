"""Folders of miniatures: what transformers and sentence-transformers make of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer

from olive_build.errors import PlanError
from olive_build.families.transformers.miniature import write_miniature
from olive_build.families.transformers.processor_files import small_processor
from olive_build.families.transformers.shrink import small_config


def test_config_json_alone_is_enough(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    out.mkdir()
    config = transformers.DistilBertConfig(architectures=["DistilBertForSequenceClassification"])
    config.id2label = {0: "bad", 1: "so so", 2: "good"}
    config.save_pretrained(source)
    write_miniature(out, source=source)
    model, info = transformers.DistilBertForSequenceClassification.from_pretrained(
        out, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert model.config.id2label == {0: "bad", 1: "so so", 2: "good"}
    assert json.loads((out / "miniature.json").read_text("utf-8")) == {
        "class": "DistilBertForSequenceClassification",
        "how": "small",
        "notes": [],
        "task": "text-classification",
    }


def test_a_sentence_encoder_keeps_its_words_and_modules(
    tmp_path: Path, minilm_source: Path
) -> None:
    write_miniature(tmp_path, source=minilm_source)
    small, real = (
        SentenceTransformer(str(path), device="cpu") for path in (tmp_path, minilm_source)
    )
    text = ["Ein Haus, two dogs and 東京"]
    assert small.tokenizer(text)["input_ids"] == real.tokenizer(text)["input_ids"]
    assert [type(item) for item in small] == [type(item) for item in real]
    vector = small.encode(text)
    assert vector.shape == (1, 32)
    assert np.isclose(np.linalg.norm(vector), 1)


def test_a_processor_gives_what_the_small_model_takes(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    out.mkdir()
    config = transformers.ViTConfig(image_size=384, architectures=["ViTForImageClassification"])
    config.save_pretrained(source)
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 384, "width": 384}}
    (source / "preprocessor_config.json").write_text(json.dumps(settings), "utf-8")
    write_miniature(out, source=source)
    processor = transformers.AutoImageProcessor.from_pretrained(out, backend="pil")
    image = np.zeros((50, 40, 3), np.uint8)
    pixels = processor(image, return_tensors="pt")
    model = transformers.ViTForImageClassification.from_pretrained(out)
    assert pixels["pixel_values"].shape == (1, 3, 256, 256)
    with torch.no_grad():
        assert model(**pixels).logits.isfinite().all()


def test_whispers_window_is_as_long_as_its_encoder() -> None:
    whole = transformers.WhisperConfig()
    settings = {"chunk_length": 30, "sampling_rate": 16000, "n_samples": 480000}
    small = small_processor(settings, small_config(whole).to_dict(), whole.to_dict())
    assert (small["chunk_length"], small["n_samples"]) == (2, 32000)


def test_where_a_model_takes_any_size_large_images_shrink_in_proportion() -> None:
    whole = transformers.ResNetConfig()
    settings = {"size": {"shortest_edge": 800, "longest_edge": 1333}, "crop_size": 224}
    small = small_processor(settings, small_config(whole).to_dict(), whole.to_dict())
    assert small == {"size": {"shortest_edge": 160, "longest_edge": 256}, "crop_size": 224}


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="the folder holds no model of transformers"):
        write_miniature(tmp_path, source=tmp_path)


def test_an_unknown_model_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-thing"}', "utf-8")
    with pytest.raises(PlanError, match="cannot read the model's configuration"):
        write_miniature(tmp_path, source=tmp_path)
