"""What a model's folder holds besides what is built of it, and whether that changes the model.

Light: config.json, the names of the files and the headers of the weights. Every family's folder is
held to it before the family reads its own files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.architectures import (
    SAVED_AS_EMBEDDING,
    builders_of,
    is_taken,
    task_of,
)
from olive_build.families.configuration import architecture_of, read_configuration, read_object
from olive_build.families.registry import FAMILIES
from olive_build.families.stored_tensors import Stored, tensors_of
from olive_build.families.weight_files import unread_files, weight_files

CONFIG = "config.json"
OF_SENTENCE_TRANSFORMERS = "config_sentence_transformers.json"
# Files that may name code of the model's author: https://huggingface.co/docs/transformers/custom_models
NAMING_CODE = (CONFIG, "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
CUSTOM_CODE = "auto_map"
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
# Where tools say that they quantized: transformers and its predecessors, AutoGPTQ, AWQ, ModelOpt.
QUANTIZED_KEYS = ("quantization_config", "compression_config")
QUANTIZED_FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
# How the tensors of GPTQ, AWQ, bitsandbytes, compressed-tensors and fp8 checkpoints end.
QUANTIZED_TENSORS = (
    *(".qweight", ".qzeros", ".g_idx", ".absmax", ".quant_map", ".SCB"),
    *(".weight_packed", ".weight_scale", ".weight_scale_inv"),
)
FLOATS = ("F64", "F32", "F16", "BF16")


def check_folder(folder: Path, family: str, *, head: str | None = None) -> tuple[str, ...]:
    """Return what is to be said of the files in `folder` that are not read, a line each.

    `head` is the layer that a recipe's new head takes the place of. Raises PlanError for what
    changes the model and is not read, for a checkpoint that is quantized already, and for a class
    of another task.
    """
    _refuse_adapters(folder)
    if not (folder / CONFIG).is_file():
        return ()  # The family says what it misses.
    config = read_configuration(folder, CONFIG, _no_configuration)
    _refuse_quantized_configuration(folder, config)
    # What a folder of sentence-transformers is, it says itself.
    own = FAMILIES[family].encoders and (folder / OF_SENTENCE_TRANSFORMERS).is_file()
    if head is None and not own:
        _refuse_other_tasks(folder, family, config)
    read = weight_files(folder, config)
    tensors = tensors_of(folder / name for name in read)
    _refuse_quantized_tensors(folder, tensors)
    return (*_code_notes(folder), *unread_files(folder, read, tensors))


def _no_configuration(folder: Path, why: str) -> PlanError:
    return PlanError("the model has no configuration", where=str(folder), why=why)


def _code_notes(folder: Path) -> tuple[str, ...]:
    """Return what is said of code of the author: transformers takes its own class, or none."""
    named = [name for name in NAMING_CODE if CUSTOM_CODE in read_object(folder / name)]
    if not named:
        return ()
    files = ", ".join(named)
    note = f"`{CUSTOM_CODE}` in {files} names code of the author: none is run, "
    return (f"{note}transformers' own classes are taken",)


def _refuse_adapters(folder: Path) -> None:
    found = [name for name in ADAPTERS if (folder / name).is_file()]
    if found:
        raise PlanError(
            "the folder holds an adapter that is not merged into the model",
            where=str(folder / found[0]),
            why=f"{' and '.join(found)} change what the model computes, and are not read",
            hint="move it into a folder of its own, and name that in the recipe: `model: {adapter: "
            "{path: {folder: ...}}}` merges it",
        )


def _refuse_quantized_configuration(folder: Path, config: Mapping[str, Any]) -> None:
    nested = (value for value in config.values() if isinstance(value, dict))
    for part in (config, *nested):
        for key in QUANTIZED_KEYS:
            if part.get(key):
                settings = part[key]
                method = settings.get("quant_method") if isinstance(settings, dict) else None
                raise _quantized(folder / CONFIG, f"it has `{key}`", method)
    for name in QUANTIZED_FILES:
        if (folder / name).is_file():
            raise _quantized(folder / name, "the tool that quantized it left this file", None)


def _refuse_quantized_tensors(folder: Path, tensors: Mapping[str, Stored]) -> None:
    for name, stored in tensors.items():
        low = name.endswith(".weight") and stored.dtype not in FLOATS
        if name.endswith(QUANTIZED_TENSORS) or low:
            why = f"its tensor {name} is {stored.dtype}"
            raise _quantized(stored.path, why, None)


def _quantized(path: Path, why: str, method: object) -> PlanError:
    by = (
        f" by {method}" if isinstance(method, str) and re.fullmatch(r"[\w.-]{1,40}", method) else ""
    )
    return PlanError(
        f"the checkpoint is quantized already{by}",
        where=str(path),
        why=f"{why}; quantizing starts from the weights that were trained, in fp32, fp16 or bf16",
        hint="name the unquantized original as the source, and what you want under `quantize`",
    )


def _refuse_other_tasks(folder: Path, family: str, config: Mapping[str, Any]) -> None:
    architecture = architecture_of(config)
    built = FAMILIES[family]
    if architecture is None or is_taken(built, architecture):
        return
    as_embedding = built.encoders and (folder / "modules.json").is_file()
    if as_embedding and architecture.endswith(SAVED_AS_EMBEDDING):
        return
    others = [f"`family: {name}`" for name in builders_of(architecture)]
    own = " or ".join(f"...{ending}" for ending in built.classes)
    raise PlanError(
        f"the model is a {architecture}, for {task_of(architecture)}",
        where=str(folder / CONFIG),
        why=f"the family '{family}' builds {own or 'encoders of texts, without a head'}",
        hint=f"{' or '.join(others)} builds such models" if others else "no family builds it yet",
    )
