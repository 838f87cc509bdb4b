"""The task and the class of a model, by its configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers
from transformers import AutoConfig

from olive_build.errors import PlanError
from olive_build.families.transformers.task_of import TASKS, class_of, task_of, tasks_of


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("BertForMaskedLM", "fill-mask"),
        ("BertModel", "feature-extraction"),
        ("BartForConditionalGeneration", "text2text-generation"),
        ("WhisperForConditionalGeneration", "automatic-speech-recognition"),
        ("Speech2TextForConditionalGeneration", "automatic-speech-recognition"),
        ("Wav2Vec2ForCTC", "automatic-speech-recognition"),
        ("XLMWithLMHeadModel", "fill-mask"),
        ("CLIPModel", "zero-shot-image-classification"),
        ("SamModel", "mask-generation"),
        ("LayoutLMv3ForQuestionAnswering", "document-question-answering"),
        ("DetrForSegmentation", "image-segmentation"),
        ("GPT2LMHeadModel", "text-generation"),
        ("VitsModel", "text-to-speech"),
        ("PatchTSTForPrediction", "time-series-forecasting"),
        ("VitPoseForPoseEstimation", "keypoint-detection"),
        ("ViTMAEForPreTraining", "masked-image-modeling"),
    ],
)
def test_the_task_of_a_class(name: str, task: str) -> None:
    assert tasks_of(name)[0] == task


def test_lists_of_classes_are_those_of_transformers() -> None:
    from transformers.models.auto import modeling_auto

    for name in TASKS:
        assert getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES"), name


@pytest.mark.parametrize("model_type", ["blip", "git"])
def test_models_that_caption_need_no_question(model_type: str) -> None:
    name = {"blip": "BlipForConditionalGeneration", "git": "GitForCausalLM"}[model_type]
    config = AutoConfig.for_model(model_type, architectures=[name])
    assert task_of(config) == "image-to-text"


def test_a_folder_that_pools_is_for_similarity(tmp_path: Path) -> None:
    config = transformers.BertConfig(architectures=["BertModel"])
    assert task_of(config, tmp_path) == "feature-extraction"
    modules = [{"type": "sentence_transformers.models.Pooling"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules), "utf-8")
    assert task_of(config, tmp_path) == "sentence-similarity"


def test_a_class_without_a_task_is_refused() -> None:
    config = transformers.BertConfig(architectures=["BertForNothing"])
    with pytest.raises(PlanError, match="no task is known that a BertForNothing serves"):
        task_of(config)


def test_the_class_is_the_one_that_the_configuration_names() -> None:
    config = transformers.BertConfig(architectures=["BertForMaskedLM"])
    assert class_of(config, "text-classification") is transformers.BertForMaskedLM
    config.architectures = ["TFBertForMaskedLM"]
    assert class_of(config, "fill-mask") is transformers.BertForMaskedLM
    with pytest.raises(PlanError, match="has no class for the model"):
        class_of(config, "object-detection")
