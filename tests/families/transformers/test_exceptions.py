"""What is known of single architectures: where the ladder begins, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from olive_build.errors import PlanError
from olive_build.families.transformers.exceptions import (
    check_exceptions,
    load_exceptions,
    refusal_of,
    start_of,
)
from olive_build.families.transformers.ladder import ORDER, order_for
from olive_build.families.transformers.spec import inspect
from olive_build.tasks.question_answering import SIDE


def folder(path: Path, **fields: object) -> Path:
    (path / "config.json").write_text(json.dumps(fields), "utf-8")
    return path


def test_every_line_is_of_a_type_or_class_that_there_is_and_of_a_rung_that_there_is() -> None:
    found = load_exceptions()
    for name in (*found.start, *found.refused):
        assert name in CONFIG_MAPPING or hasattr(transformers, name), name
    assert set(found.start.values()) <= set(ORDER)
    assert not set(found.start) & set(found.refused)


def test_experts_begin_with_transformers_own_exporter_and_the_others_follow(tmp_path: Path) -> None:
    order = order_for(folder(tmp_path, model_type="qwen2_moe"))
    assert order[0] == "transformers"
    assert sorted(order) == sorted(ORDER)
    assert order_for(folder(tmp_path, model_type="bert")) == ORDER


def test_a_class_counts_before_its_type() -> None:
    assert start_of({"model_type": "qwen2_moe", "architectures": ["BertModel"]}) == "transformers"
    assert refusal_of({"model_type": "bert", "architectures": ["BertModel"]}) is None


def test_what_comes_out_wrong_is_refused_when_a_build_is_planned(tmp_path: Path) -> None:
    place = folder(tmp_path, model_type="vilt", architectures=["ViltForQuestionAnswering"])
    with pytest.raises(PlanError) as told:
        inspect(place, SIDE.task)
    assert told.value.what == "a ViltForQuestionAnswering cannot be built"
    assert told.value.why is not None and told.value.why.startswith("it chooses patches")
    check_exceptions(tmp_path, {"model_type": "bert"})
