"""What is longer than a model reads is cut, left out or refused, and never answered otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from olive_build import rooms
from olive_build.errors import PlanError, StepError
from olive_build.families.text_classification.miniature import write_miniature
from olive_build.families.transformers.library import Library
from olive_build.families.transformers.references import reference
from olive_build.families.transformers.shown_texts import texts_shown, tokenizer_code
from olive_build.families.transformers.spec import most_tokens
from olive_build.tasks._pictures import one_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    write_miniature(made)
    return made


def configured(tmp_path: Path, **fields: object) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(fields))
    return tmp_path


def test_positions_of_bert_are_all_of_tokens_and_those_of_roberta_begin_after_padding(
    tmp_path: Path,
) -> None:
    assert most_tokens(configured(tmp_path, model_type="bert", max_position_embeddings=64)) == 64
    roberta = {"model_type": "roberta", "max_position_embeddings": 64, "pad_token_id": 1}
    assert most_tokens(configured(tmp_path, **roberta)) == 62
    limit = json.dumps({"model_max_length": 30})
    (tmp_path / "tokenizer_config.json").write_text(limit)
    assert most_tokens(tmp_path) == 30
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert most_tokens(configured(tmp_path, model_type="t5")) is None


def test_the_code_cuts_texts_where_the_tokenizer_does(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"truncation_side": "left"}))
    code = tokenizer_code(texts_shown(tmp_path), None, 64)
    assert 'tokenizer.enable_truncation(64, direction="left")' in code
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert "tokenizer.enable_truncation(64)" in tokenizer_code(texts_shown(tmp_path), None, 64)


def test_a_tokenizer_with_more_words_than_the_model_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    side = rooms.look_up("olive_build.tasks.text_classification")
    side.loading(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["acme9000"])
    transformers.AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(PlanError) as error:
        side.loading(tmp_path)
    assert "1 tokens of the tokenizer are beyond the model's table" in error.value.what
    assert "'acme9000' is number" in str(error.value.why)


def test_texts_that_the_library_does_not_cut_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_miniature(tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    config.architectures, config.max_position_embeddings = ["BertForMaskedLM"], 32
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    data = tmp_path / "data.jsonl"
    lines = ["the people of this city", "new house " * 40, "near the old river"]
    data.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    task = rooms.look_up("olive_build.tasks.fill_mask").task
    assert not Library(tmp_path, task).takes(lines[1])
    assert reference(tmp_path, data, task).count == 2
    data.write_text(json.dumps({"text": lines[1]}) + "\n")
    with pytest.raises(StepError, match="all samples are longer than the model reads"):
        reference(tmp_path, data, task)


def test_pictures_become_squares_where_a_processor_keeps_proportions() -> None:
    assert one_size({"size": {"shortest_edge": 800, "longest_edge": 1333}}) == 800
    assert one_size({"size": {"height": 64, "width": 96}}) is None
    cropped = {"size": {"shortest_edge": 256}, "do_center_crop": True}
    assert one_size(cropped) is None and one_size({}) is None
