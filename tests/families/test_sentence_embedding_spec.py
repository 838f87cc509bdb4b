"""The facts of a model folder, and what a folder that is none of this family is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from olive_build.errors import PlanError
from olive_build.families.sentence_embedding.spec import inspect

CONFIG = {
    "model_type": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "type_vocab_size": 2,
    "max_position_embeddings": 512,
}


def folder(path: Path, **files: Any) -> Path:
    content: dict[str, Any] = {
        "config.json": CONFIG,
        "tokenizer.json": {"model": {"type": "Unigram"}},
        "tokenizer_config.json": {},
        **files,
    }
    for name, data in content.items():
        if data is not None:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_the_numbers_come_from_the_model(tmp_path: Path) -> None:
    facts = inspect(
        folder(
            tmp_path,
            **{
                "sentence_bert_config.json": {"max_seq_length": 128},
                "1_Pooling/config.json": {
                    "word_embedding_dimension": 384,
                    "pooling_mode_cls_token": True,
                },
                "modules.json": [
                    {"type": "sentence_transformers.models.Transformer", "path": ""},
                    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
                ],
            },
        )
    )
    assert (facts.layers, facts.heads, facts.dimensions) == (6, 12, 384)
    assert (facts.max_length, facts.pooling, facts.normalize) == (128, "cls", False)
    assert facts.inputs == ("input_ids", "attention_mask", "token_type_ids")


def test_names_of_distilbert_are_known_and_it_has_no_segments(tmp_path: Path) -> None:
    config = {"model_type": "distilbert", "dim": 768, "n_layers": 2, "n_heads": 4}
    facts = inspect(folder(tmp_path, **{"config.json": config}))
    assert (facts.layers, facts.heads, facts.dimensions) == (2, 4, 768)
    assert facts.inputs == ("input_ids", "attention_mask")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"config.json": None}, "there is no config.json"),
        ({"tokenizer.json": None}, "there is neither tokenizer.json nor vocab.txt"),
        ({"config.json": {"model_type": "resnet"}}, "no usable size"),
        ({"config.json": "{"}, "Expecting"),
        ({"config.json": "[]"}, "no JSON object"),
        ({"modules.json": "nonsense"}, "Expecting value"),
    ],
)
def test_another_folder_is_a_clear_error(tmp_path: Path, files: dict[str, Any], why: str) -> None:
    with pytest.raises(PlanError) as caught:
        inspect(folder(tmp_path, **files))
    assert why in (caught.value.why or "")
    assert caught.value.where
