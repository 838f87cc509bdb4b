"""What the classes of transformers are for, by how their names end, and which family builds them.

Light: `architectures` of config.json says which class a checkpoint was saved from.
"""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.families.registry import FAMILIES, Family

# The longest ending that fits counts. Sources: the auto classes of transformers 5
# (models/auto/modeling_auto.py) and the tasks that their model cards name.
TASKS: Mapping[str, str] = {
    "ForAudioFrameClassification": "classification of each moment of a sound",
    "ForCTC": "speech recognition",
    "ForCausalLM": "writing text",
    "ForConditionalGeneration": "writing text from other text, sounds or images",
    "ForDepthEstimation": "depth of images",
    "ForImageClassification": "classification of images",
    "ForImageClassificationWithTeacher": "classification of images",
    "ForImageSuperResolution": "making pictures of pictures",
    "ForImageToImage": "making pictures of pictures",
    "ForImageSegmentation": "segmentation of images",
    "ForInstanceSegmentation": "segmentation of images",
    "ForMaskedImageModeling": "filling in hidden parts of images",
    "ForMaskedLM": "filling in hidden words",
    "ForMultipleChoice": "choosing among answers",
    "ForNextSentencePrediction": "telling whether a sentence follows another",
    "ForObjectDetection": "finding objects in images",
    "ForPreTraining": "pre-training",
    "ForQuestionAnswering": "finding answers in texts",
    "ForQuestionAnsweringSimple": "finding answers in texts",
    "ForSemanticSegmentation": "segmentation of images",
    "ForSequenceClassification": "classification of whole texts or sounds",
    "ForSpeechSeq2Seq": "speech recognition",
    "ForTextToSpeech": "speech from text",
    "ForTokenClassification": "classification of each word",
    "ForUniversalSegmentation": "segmentation of images",
    "ForVideoClassification": "classification of videos",
    "ForAudioClassification": "classification of sounds",
    "ForXVector": "telling speakers apart by vectors",
    "ForZeroShotObjectDetection": "finding objects in images",
    "LMHeadModel": "writing text",
    "DoubleHeadsModel": "writing text and choosing among answers",
}
# What a folder with modules.json may hold besides: it was saved as an embedding model.
SAVED_AS_EMBEDDING = ("ForCausalLM", "LMHeadModel")


def task_of(architecture: str) -> str | None:
    """Return what a class is for, in words; None for a bare model and for unknown names."""
    fitting = [ending for ending in TASKS if architecture.endswith(ending)]
    return TASKS[max(fitting, key=len)] if fitting else None


def is_taken(family: Family, architecture: str) -> bool:
    """Whether a family builds models of that class, or takes the encoder out of them."""
    endings = (*family.classes, *family.encoders)
    return task_of(architecture) is None or architecture.endswith(endings)


def builders_of(architecture: str) -> list[str]:
    """Return the families that build models of that class."""
    return [item.name for item in FAMILIES.values() if architecture.endswith(item.classes)]
