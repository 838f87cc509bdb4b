"""What a model is asked to do and which class it is of, by `architectures` of its configuration.

The tasks are those of transformers' own lists of classes, read backwards. Imported in worker
processes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto import modeling_auto

from olive_build.errors import PlanError, first_line
from olive_build.families.configuration import architecture_of, read_value

MODULES, POOLING = "modules.json", ".Pooling"
SPEECH = ("input_features", "input_values")
RECOGNITION, CAPTION = "automatic-speech-recognition", "image-to-text"
# Lists of classes by what they are for. Some classes are in several: the first of these counts.
TASKS: Mapping[str, str] = {
    "ZERO_SHOT_IMAGE_CLASSIFICATION": "zero-shot-image-classification",
    "ZERO_SHOT_OBJECT_DETECTION": "zero-shot-object-detection",
    "MASK_GENERATION": "mask-generation",
    "DOCUMENT_QUESTION_ANSWERING": "document-question-answering",
    "IMAGE_TEXT_TO_TEXT": "image-text-to-text",
    "VISUAL_QUESTION_ANSWERING": "visual-question-answering",
    "TABLE_QUESTION_ANSWERING": "table-question-answering",
    "TEXT_TO_WAVEFORM": "text-to-speech",
    "TEXT_TO_SPECTROGRAM": "text-to-speech",
    "SPEECH_SEQ_2_SEQ": RECOGNITION,
    "CTC": RECOGNITION,
    "RNNT": RECOGNITION,
    "TDT": RECOGNITION,
    "SEQ_TO_SEQ_CAUSAL_LM": "text2text-generation",
    "MASKED_LM": "fill-mask",
    "CAUSAL_LM": "text-generation",
    "SEQUENCE_CLASSIFICATION": "text-classification",
    "TOKEN_CLASSIFICATION": "token-classification",
    "QUESTION_ANSWERING": "question-answering",
    "MULTIPLE_CHOICE": "multiple-choice",
    "NEXT_SENTENCE_PREDICTION": "next-sentence-prediction",
    "IMAGE_CLASSIFICATION": "image-classification",
    "OBJECT_DETECTION": "object-detection",
    "INSTANCE_SEGMENTATION": "image-segmentation",
    "SEMANTIC_SEGMENTATION": "image-segmentation",
    "UNIVERSAL_SEGMENTATION": "image-segmentation",
    "IMAGE_SEGMENTATION": "image-segmentation",
    "DEPTH_ESTIMATION": "depth-estimation",
    "IMAGE_TO_IMAGE": "image-to-image",
    "IMAGE_MATTING": "image-to-image",
    "MASKED_IMAGE_MODELING": "masked-image-modeling",
    "KEYPOINT_DETECTION": "keypoint-detection",
    "POSE_ESTIMATION": "keypoint-detection",
    "KEYPOINT_MATCHING": "keypoint-matching",
    "VIDEO_CLASSIFICATION": "video-classification",
    "AUDIO_CLASSIFICATION": "audio-classification",
    "AUDIO_FRAME_CLASSIFICATION": "audio-frame-classification",
    "AUDIO_XVECTOR": "audio-xvector",
    "TIME_SERIES_PREDICTION": "time-series-forecasting",
    "TIME_SERIES_CLASSIFICATION": "time-series-classification",
    "TIME_SERIES_REGRESSION": "time-series-regression",
}
BASE = "MODEL_MAPPING_NAMES"
FEATURES, SIMILARITY = "feature-extraction", "sentence-similarity"
# Classes in none of the lists, by how their names end.
ENDINGS: Mapping[str, str] = {
    "ForPrediction": "time-series-forecasting",
    "ForPoseEstimation": "keypoint-detection",
    "MAEForPreTraining": "masked-image-modeling",
}
# They caption an image without a question or a text with places for the image.
CAPTIONING = ("blip", "git", "pix2struct", "vision-encoder-decoder")


def configuration(folder: Path, hint: str) -> Any:
    """Return the configuration in `folder` as transformers reads it.

    Raises PlanError with the `hint` where it does not.
    """
    try:
        return transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise PlanError(
            "transformers cannot read the model's configuration",
            where=str(folder / "config.json"),
            why=first_line(error),
            hint=hint,
        ) from error


def task_of(config: Any, folder: Path | None = None) -> str:
    """Return the Hugging Face task that a model's class serves.

    A `folder` of sentence-transformers that pools its tokens is for similarity, whatever its
    class. Raises PlanError where the class is not known to be for a task of inference.
    """
    if folder is not None and _pools(folder):
        return SIMILARITY
    name = architecture_of(config.to_dict())
    if name is None:
        return FEATURES
    tasks = tasks_of(name)
    if not tasks:
        raise PlanError(
            f"no task is known that a {name} serves",
            where=str(folder or config.name_or_path),
            why="it is in none of transformers' lists of classes for a task",
            hint="name its `task` in the recipe, or take a checkpoint with a head",
        )
    if tasks[0] == "image-text-to-text" and config.model_type in CAPTIONING:
        return CAPTION
    return tasks[0]


@cache
def tasks_of(name: str) -> tuple[str, ...]:
    """Return the tasks that a class of this name serves, the most likely one first."""
    tasks = [task for listed, task in TASKS.items() if name in _classes(listed)]
    if RECOGNITION in tasks and len(tasks) > 1 and not _hears(name):
        tasks.remove(RECOGNITION)
    tasks += [task for ending, task in ENDINGS.items() if name.endswith(ending)]
    if not tasks and name in _all_classes(BASE):
        tasks = [FEATURES]
    return tuple(dict.fromkeys(tasks))


def class_of(config: Any, task: str | None = None) -> Any:
    """Return the class of transformers that a configuration names in `architectures`.

    Without a name, or with one that transformers does not have, it is the class that transformers
    has for this model type and `task`. Raises PlanError where there is none.
    """
    name = architecture_of(config.to_dict())
    named = getattr(transformers, name, None) if name else None
    if named is not None and hasattr(named, "from_pretrained"):
        return named
    for found in _for_type(config.model_type, task or FEATURES):
        return getattr(transformers, found)
    raise PlanError(
        f"transformers {transformers.__version__} has no class for the model",
        where=str(config.name_or_path),
        why=f"`architectures` names {name}, and for {config.model_type} there is none that serves "
        f"{task or FEATURES}",
        hint="take a newer transformers, another task, or a model without code of its own",
    )


def _for_type(model_type: str, task: str) -> list[str]:
    if task in (FEATURES, SIMILARITY):
        return list(_named(BASE, model_type))
    listed = [name for name, of in TASKS.items() if of == task]
    return [found for name in listed for found in _named(_list_name(name), model_type)]


def _named(mapping: str, model_type: str) -> tuple[str, ...]:
    found = getattr(modeling_auto, mapping, {}).get(model_type, ())
    return (found,) if isinstance(found, str) else tuple(found)


def _list_name(task: str) -> str:
    return f"MODEL_FOR_{task}_MAPPING_NAMES"


def _classes(task: str) -> frozenset[str]:
    return _all_classes(_list_name(task))


@cache
def _all_classes(mapping: str) -> frozenset[str]:
    mapped = getattr(modeling_auto, mapping, {}).values()
    return frozenset(
        name for named in mapped for name in ((named,) if isinstance(named, str) else named)
    )


def _hears(name: str) -> bool:
    """Whether the main input of a class is sound."""
    return getattr(getattr(transformers, name, None), "main_input_name", None) in SPEECH


def _pools(folder: Path) -> bool:
    modules = read_value(folder / MODULES)
    if not isinstance(modules, list):
        return False
    kinds = [item.get("type") for item in modules if isinstance(item, dict)]
    return any(isinstance(kind, str) and kind.endswith(POOLING) for kind in kinds)
