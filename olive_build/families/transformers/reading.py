"""What transformers says of a model's folder before anything is loaded: class, tasks, processors.

Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from olive_build.errors import PlanError
from olive_build.families.configuration import architecture_of, read_object
from olive_build.families.transformers.backbones import lacks_timm
from olive_build.families.transformers.sentence_modules import transformer_folder
from olive_build.families.transformers.task_of import class_of, configuration, task_of, tasks_of

CONFIG, CODE = "config.json", "auto_map"
MOST_SHOWN = 400
# By what it is called, the class that reads a processor.
AUTO: Mapping[str, tuple[str, dict[str, str]]] = {
    "tokenizer": ("AutoTokenizer", {}),
    "image_processor": ("AutoImageProcessor", {"backend": "pil"}),
    "feature_extractor": ("AutoFeatureExtractor", {}),
}
_OF_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
FILES: Mapping[str, tuple[str, ...]] = {
    "tokenizer": ("tokenizer*.json", "vocab.*", "*.model", "*.spm", "*.tiktoken"),
    "image_processor": _OF_PROCESSORS,
    "feature_extractor": _OF_PROCESSORS,
}
# The packages that transformers asks for when it reads a processor, by their modules.
PACKAGES: Mapping[str, str] = {
    "sentencepiece": "sentencepiece",
    "tiktoken": "tiktoken",
    "protobuf": "google.protobuf",
    "Pillow": "PIL",
    "torchvision": "torchvision",
    "scipy": "scipy",
    "librosa": "librosa",
    "sacremoses": "sacremoses",
}

VOCABULARIES = {"sentencepiece": ("*.model", "*.spm"), "tiktoken": ("*.tiktoken",)}


def described(source: Path) -> dict[str, Any]:
    """Return what the model in a folder is, as JSON has it.

    `class` is the class of transformers, `model_type` its kind, `task` the likeliest one and
    `tasks` all that it serves; `needs` are the processors that the pipeline of each asks for.
    `lacking` says of those that cannot be read, why, and which packages of Python are missing for
    it, `packages` which of them the network is missing. Raises PlanError where transformers has
    no such model.
    """
    folder = transformer_folder(source)
    config = _configuration(folder)
    kind = class_of(config)
    tasks = tasks_of(kind.__name__)
    return {
        "class": kind.__name__,
        "model_type": config.model_type,
        "task": task_of(config, source) if tasks else "",
        "tasks": list(tasks),
        "needs": {task: _needs(task) for task in tasks},
        "lacking": {part: found for part in AUTO if (found := _lacking(folder, part))},
        "packages": ["timm"] if lacks_timm(config.to_dict()) else [],
    }


def _configuration(folder: Path) -> Any:
    written = read_object(folder / CONFIG)
    _require_own_class(folder, written)
    return configuration(folder, "save it again with save_pretrained, or correct the value")


def _require_own_class(folder: Path, written: Mapping[str, Any]) -> None:
    """Raise PlanError where transformers itself has no configuration or class of that name."""
    kind, name = written.get("model_type"), architecture_of(written)
    has_kind = isinstance(kind, str) and kind in CONFIG_MAPPING
    has_class = name is None or hasattr(transformers, name)
    if has_kind and (has_class or CODE not in written):
        return
    if CODE in written:
        lacks = f"the class {name}" if has_kind else f"the model_type '{kind}'"
        raise PlanError(
            "the model is code of its author",
            where=str(folder / CONFIG),
            why=f"`{CODE}` names it, and transformers {transformers.__version__} has no "
            f"{lacks.removeprefix('the ')} of its own; code of a model's repository is never run",
            hint="take a version of the model for a class of transformers, which many have, or a "
            "newer transformers",
        )
    if kind is None:
        raise PlanError(
            "the configuration does not say what the model is",
            where=str(folder / CONFIG),
            why="it has no `model_type`",
            hint="it must be as save_pretrained of transformers writes it",
        )
    raise PlanError(
        f"transformers {transformers.__version__} has no model of the type '{kind}'"[:200],
        where=str(folder / CONFIG),
        why="its `model_type` is none that this version knows",
        hint="correct it, or take a newer transformers if the model is newer than this one",
    )


def _needs(task: str) -> list[str]:
    """Return the processors that transformers' pipeline of a task asks for; none without one."""
    try:
        kind = transformers.pipelines.check_task(task)[1]["impl"]
    except KeyError:
        return []
    kind = getattr(transformers, kind.rpartition(".")[2]) if isinstance(kind, str) else kind
    return [part for part in AUTO if getattr(kind, f"_load_{part}", None)]


def _lacking(folder: Path, part: str) -> dict[str, Any] | None:
    """Return why a processor cannot be read and which packages that takes; None where it can."""
    auto, settings = AUTO[part]
    if not any(fnmatch(path.name, name) for path in folder.iterdir() for name in FILES[part]):
        return {"why": f"the folder has none of {', '.join(FILES[part])}", "packages": []}
    try:
        found = getattr(transformers, auto).from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, **settings
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        why = " ".join(str(error).split()) or type(error).__name__
        return {"why": why[:MOST_SHOWN], "packages": _packages(folder, why)}
    if part == "tokenizer" and len(found) <= len(found.all_special_tokens):
        # The library makes one without words where the vocabulary's file is missing.
        return {"why": "the tokenizer that is read has no words", "packages": []}
    return None


def _packages(folder: Path, why: str) -> list[str]:
    """Return the packages that transformers names in an error and that are not installed."""
    of_vocabularies = {
        package: any(path for file in files for path in folder.glob(file))
        for package, files in VOCABULARIES.items()
    }
    named = [package for package in PACKAGES if package.lower() in why.lower()]
    if any(package in of_vocabularies for package in named):
        # It names several ways to read any vocabulary: one reads that which is here.
        named = [p for p in named if p not in of_vocabularies]
        named += [package for package, is_its in of_vocabularies.items() if is_its]
    return [package for package in named if not _is_installed(PACKAGES[package])]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
