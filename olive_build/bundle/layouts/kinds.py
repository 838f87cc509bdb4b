"""What kind of model a folder holds, which graphs the client opens for it, and with what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olive_build.bundle.layouts.configuration import CONFIG
from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.targets.client import Client

TEXT_GENERATION = "text-generation"
FEATURE_EXTRACTION = "feature-extraction"
SPEECH_RECOGNITION = "speech-recognition"
TEXT_TO_TEXT = "text-to-text"
IMAGE_CLASSIFICATION = "image-classification"
ENCODER = "encoder"
OTHER = "other"
DECODER = "decoder_model_merged"
_CAUSAL = ("ForCausalLM", "LMHeadModel")
_SEQUENCE = ("ForConditionalGeneration", "MarianMTModel", "ForSpeechToText")
# Architectures of several graphs that this check does not know (src/models/session_config.js).
_SEVERAL = (
    "ForVision2Seq",
    "ForImageTextToText",
    "ForTextToSpeech",
    "VisionEncoderDecoderModel",
    "ForMaskGeneration",
    "MultiModalityCausalLM",
    "SamModel",
    "Sam2Model",
)


@dataclass(frozen=True)
class Kind:
    """A task, and the graphs that the client opens for it (src/models/session_config.js).

    `texts` says that text goes in or out, so that a tokenizer is needed, `processor` that images
    or audio go in.
    """

    task: str
    sessions: tuple[str, ...]
    texts: bool = True
    processor: bool = False
    generates: bool = False

    @property
    def cached(self) -> str | None:
        """The session with a cache, None if there is none."""
        return self.sessions[-1] if self.generates else None


KINDS = {
    TEXT_GENERATION: Kind(TEXT_GENERATION, ("model",), generates=True),
    FEATURE_EXTRACTION: Kind(FEATURE_EXTRACTION, ("model",)),
    ENCODER: Kind(ENCODER, ("model",), texts=False),
    IMAGE_CLASSIFICATION: Kind(IMAGE_CLASSIFICATION, ("model",), texts=False, processor=True),
    SPEECH_RECOGNITION: Kind(
        SPEECH_RECOGNITION, ("encoder_model", DECODER), processor=True, generates=True
    ),
    TEXT_TO_TEXT: Kind(TEXT_TO_TEXT, ("encoder_model", DECODER), generates=True),
    OTHER: Kind(OTHER, (), texts=False),
}


def kind_of(config: Mapping[str, Any], client: Client) -> Kind:
    """Return the kind, from `architectures` and `model_type` as the client goes by them."""
    architecture = _architecture(config)
    model_type = config.get("model_type")
    if architecture.endswith(_CAUSAL):
        return KINDS[TEXT_GENERATION]
    if architecture.endswith("ForImageClassification"):
        return KINDS[IMAGE_CLASSIFICATION]
    if architecture.endswith(_SEVERAL):
        return KINDS[OTHER]
    if not architecture or architecture.endswith(_SEQUENCE):
        for task in (SPEECH_RECOGNITION, TEXT_TO_TEXT):
            if model_type in client.models[task]:
                return KINDS[task]
        if architecture:
            return KINDS[OTHER]
        if model_type in client.models[TEXT_GENERATION]:
            return KINDS[TEXT_GENERATION]
    plain = not architecture or architecture.endswith(("Model", "ForMaskedLM"))
    return KINDS[FEATURE_EXTRACTION if plain and _reads_text(config) else ENCODER]


def check_kind(kind: Kind, config: Mapping[str, Any], client: Client) -> Iterator[Finding]:
    """Yield what keeps the client from finding a class for the model."""
    where = f"{CONFIG}: model_type"
    model_type = config.get("model_type")
    if kind.task == OTHER:
        yield Finding(
            Code.UNKNOWN_MODEL,
            "note",
            f"{_architecture(config)} consists of graphs that this check does not know",
            f"{CONFIG}: architectures",
            f"it knows {', '.join(task for task in KINDS if task != OTHER)}",
            "the files are looked at one by one; whether all are there is not",
        )
    elif not isinstance(model_type, str) or not model_type:
        why = "the client chooses the model's class by it"
        hint = "take config.json from the model that was converted"
        yield Finding(Code.UNKNOWN_MODEL, "error", "no 'model_type'", where, why, hint)
    elif kind.task in client.models and model_type not in client.models[kind.task]:
        yield Finding(
            Code.UNKNOWN_MODEL,
            "error",
            f"'{model_type}' is no model of {kind.task} for {client.title}",
            where,
            f"pipeline('{kind.task}') throws 'Unsupported model type' (src/models/registry.js)",
            "another release may know it; a model_type of the same structure works as well",
        )


def _architecture(config: Mapping[str, Any]) -> str:
    written = config.get("architectures")
    first = written[0] if isinstance(written, list) and written else ""
    return first if isinstance(first, str) else ""


def _reads_text(config: Mapping[str, Any]) -> bool:
    return "vocab_size" in config and "vision_config" not in config
