"""The files beside the model: tokenizer, processor, settings of generation.

Which the client reads: src/pipelines.js, src/utils/model_registry/get_tokenizer_files.js,
src/models/auto/processing_auto.js and src/models/whisper/modeling_whisper.js of
github.com/huggingface/transformers.js 4.3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from olive_build.bundle.layouts.configuration import CONFIG
from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.bundle.layouts.folder import ModelFolder
from olive_build.bundle.layouts.kinds import IMAGE_CLASSIFICATION, SPEECH_RECOGNITION, Kind
from olive_build.targets.client import Client

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
PREPROCESSOR = "preprocessor_config.json"
GENERATION = "generation_config.json"
TEMPLATE = "chat_template.jinja"
# dist/tokenizers.mjs of npm's @huggingface/tokenizers, the constructor of Tokenizer
_TOKENIZER_PARTS = ("model", "decoder", "post_processor", "pre_tokenizer", "normalizer")
_OLDER_TOKENIZERS = ("vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model")


def check_companion_files(
    folder: ModelFolder, kind: Kind, config: Mapping[str, Any], client: Client
) -> Iterator[Finding]:
    """Yield what is missing beside the model, or what the client cannot use."""
    if kind.texts:
        yield from _check_tokenizer(folder, kind)
    if kind.processor:
        yield from _check_processor(folder, kind, client)
    if kind.generates:
        yield from _check_generation(folder, kind, config)
    if kind.task == IMAGE_CLASSIFICATION and not isinstance(config.get("id2label"), Mapping):
        yield Finding(
            Code.BAD_FIELD,
            "warning",
            "no 'id2label'",
            f"{CONFIG}: id2label",
            "the client then calls the classes LABEL_0, LABEL_1 and so on",
            "write the classes' names there",
        )


def _check_tokenizer(folder: ModelFolder, kind: Kind) -> Iterator[Finding]:
    older = [name for name in _OLDER_TOKENIZERS if folder.has(name)]
    for name in (TOKENIZER_CONFIG, TOKENIZER):
        if folder.has(name):
            continue
        why = "the client then has no tokenizer at all, and says so only when it is given a text"
        if name == TOKENIZER:
            why = "the client reads no tokenizer of another form"
        hint = "save the tokenizer with transformers: AutoTokenizer.from_pretrained(...)"
        if older:
            hint = f"{', '.join(older)} is the older form; {hint}"
        hint += ".save_pretrained(folder)"
        yield Finding(Code.NO_TOKENIZER, "error", f"{name} is missing", name, why, hint)
    settings, wrong = _json(folder, TOKENIZER_CONFIG)
    if wrong:
        yield wrong
    yield from _check_tokenizer_file(folder)
    yield from _check_tokenizer_class(settings, kind, folder)
    if kind.generates and folder.has(TEMPLATE) and not settings.get("chat_template"):
        yield Finding(
            Code.NO_TOKENIZER,
            "warning",
            f"the chat template is in {TEMPLATE} alone",
            TEMPLATE,
            f"the pipeline takes it from 'chat_template' in {TOKENIZER_CONFIG}",
            f"copy the template's text into {TOKENIZER_CONFIG}",
        )


def _check_tokenizer_file(folder: ModelFolder) -> Iterator[Finding]:
    tokenizer, wrong = _json(folder, TOKENIZER)
    if wrong:
        yield wrong
        return
    lacking = [f"'{part}'" for part in _TOKENIZER_PARTS if part not in tokenizer]
    if folder.has(TOKENIZER) and lacking:
        what = f"the tokenizer has no {', '.join(lacking)}"
        why = "the client throws 'Tokenizer must contain ...', for parts that may be null as well"
        hint = "save the tokenizer again with transformers"
        yield Finding(Code.NO_TOKENIZER, "error", what, TOKENIZER, why, hint)


def _check_tokenizer_class(
    settings: Mapping[str, Any], kind: Kind, folder: ModelFolder
) -> Iterator[Finding]:
    name = settings.get("tokenizer_class")
    if kind.task != SPEECH_RECOGNITION or not folder.has(TOKENIZER_CONFIG):
        return
    config, _ = _json(folder, CONFIG)
    if config.get("model_type") == "whisper" and _plain(name) != "WhisperTokenizer":
        yield Finding(
            Code.NO_TOKENIZER,
            "error",
            f"the tokenizer's class is {name!r}",
            f"{TOKENIZER_CONFIG}: tokenizer_class",
            "the pipeline calls _decode_asr, which only WhisperTokenizer has",
            "write 'WhisperTokenizer'",
        )


def _check_processor(folder: ModelFolder, kind: Kind, client: Client) -> Iterator[Finding]:
    if not folder.has(PREPROCESSOR):
        why = "the pipeline then has no processor, and fails at its first input"
        hint = "copy it from the model that was converted"
        if folder.has("processor_config.json"):
            hint = (
                "version 5 of transformers writes processor_config.json, which the client does not"
                f" read; write the part of the processor to {PREPROCESSOR}"
            )
        what = f"{PREPROCESSOR} is missing"
        yield Finding(Code.NO_PROCESSOR, "error", what, PREPROCESSOR, why, hint)
        return
    settings, wrong = _json(folder, PREPROCESSOR)
    if wrong:
        yield wrong
        return
    image = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    if image is None:
        if settings.get("processor_class"):
            return
        what = "neither 'image_processor_type' nor 'feature_extractor_type'"
        why = "the client chooses the processor's class by one of them, and throws"
        hint = "take the file from the model that was converted"
        yield Finding(Code.NO_PROCESSOR, "error", what, PREPROCESSOR, why, hint)
    elif kind.task == IMAGE_CLASSIFICATION and _plain(image) not in client.image_processors:
        what = f"the client has no image processor '{image}'"
        why = "it throws 'Unknown image_processor_type' (src/models/auto/processing_auto.js)"
        hint = "name one that does the same, for instance ViTImageProcessor"
        yield Finding(Code.NO_PROCESSOR, "error", what, PREPROCESSOR, why, hint)


def _check_generation(
    folder: ModelFolder, kind: Kind, config: Mapping[str, Any]
) -> Iterator[Finding]:
    written, wrong = _json(folder, GENERATION)
    if wrong:
        yield wrong
        return
    settings = {**config, **written}
    if settings.get("eos_token_id") is None:
        yield Finding(
            Code.GENERATION,
            "warning",
            "no 'eos_token_id'",
            GENERATION,
            "neither here nor in config.json, so every text goes on to its greatest length",
            "write the token that ends a text",
        )
    beams = settings.get("num_beams")
    if isinstance(beams, int) and beams > 1:
        yield Finding(
            Code.GENERATION,
            "warning",
            f"'num_beams': {beams} does nothing",
            GENERATION,
            "the client searches greedily whatever it says, without a message"
            " (src/models/modeling_utils.js, 'TODO: Support beam search')",
            "write 1, and measure quality with greedy search",
        )
    if kind.task == SPEECH_RECOGNITION and config.get("model_type") == "whisper":
        yield from _check_whisper(settings)


def _check_whisper(settings: Mapping[str, Any]) -> Iterator[Finding]:
    needed = ["decoder_start_token_id"]
    if settings.get("is_multilingual"):
        needed += ["lang_to_id", "task_to_id"]
    for name in needed:
        if settings.get(name) is None:
            yield Finding(
                Code.GENERATION,
                "error",
                f"no '{name}'",
                f"{GENERATION}: {name}",
                "the client makes the decoder's first tokens of it, and finds none elsewhere",
                "take generation_config.json from the model that was fine-tuned",
            )
    if settings.get("max_length") is None and settings.get("max_new_tokens") is None:
        what = "no 'max_length'"
        why = "the client stops after 20 tokens (src/generation/configuration_utils.js)"
        hint = "write the decoder's positions, 448 for OpenAI's models"
        yield Finding(Code.GENERATION, "warning", what, GENERATION, why, hint)


def _plain(name: object) -> str:
    """Return a class's name as the client looks for it (src/models/auto/)."""
    return name.removesuffix("Fast") if isinstance(name, str) else ""


def _json(folder: ModelFolder, name: str) -> tuple[dict[str, Any], Finding | None]:
    return folder.json(name) if folder.has(name) else ({}, None)
