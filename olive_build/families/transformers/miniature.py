"""A miniature of whatever model a folder holds, with seeded weights and the model's processors.

Of the folder, config.json is enough. Imported in worker processes only.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers

from olive_build.engine.step import write_json
from olive_build.errors import PlanError
from olive_build.families.configuration import read_object, read_value
from olive_build.families.transformers.processor_files import NAMES, small_processor
from olive_build.families.transformers.sentence_modules import (
    transformer_folder,
    write_sentence_modules,
)
from olive_build.families.transformers.shrink import Wanted
from olive_build.families.transformers.small_model import small_model
from olive_build.families.transformers.task_of import class_of, configuration, task_of
from olive_build.untrusted import followed, read_bytes

REPORT, CONFIG, GENERATION = "miniature.json", "config.json", "generation_config.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "vocab-*.json",
    "*.vocab",
    "merges.txt",
    "bpe.codes",
    "*.model",
    "*.spm",
    "*.tiktoken",
    "chat_template.*",
)
# The largest vocabularies are of some 20 MB.
MOST_BYTES = 1 << 26


def write_miniature(out: Path, layers: int = 0, *, source: Path, task: str = "") -> None:
    """Write a miniature of the model in `source` below `out`, as save_pretrained writes models.

    Its tokenizer is the model's own, whose ids are then all in the vocabulary; without one the
    vocabulary is small too. It has a layer of each kind, or at least `layers`. miniature.json says
    how it was made. Raises PlanError for a folder that transformers does not read, StepError where
    no miniature can be made or its outputs prove nothing.
    """
    folder = transformer_folder(source)
    config = _configuration(folder)
    task = task or task_of(config, source)
    names = sorted(path.name for path in folder.iterdir() if _is_of_tokenizer(path.name))
    wanted = Wanted(vocabulary=bool(names), layers=layers)
    kind = class_of(config, task)
    model, shrunk = small_model(config, kind, task, wanted)
    place = out / folder.relative_to(source)
    place.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(place))
    for name in names:
        (place / name).write_bytes(read_bytes(followed(folder / name), MOST_BYTES))
    if wanted.vocabulary:
        _write_generation(folder, place)
    _write_processors(folder, place, shrunk.config.to_dict(), config.to_dict())
    write_sentence_modules(source, out, shrunk.config, config)
    report = {"class": kind.__name__, "how": shrunk.how, "notes": shrunk.notes, "task": task}
    write_json(out / REPORT, report)


def _configuration(folder: Path) -> Any:
    if read_value(folder / CONFIG) is None:
        raise PlanError(
            "the folder holds no model of transformers",
            where=str(folder),
            why=f"there is no {CONFIG}",
            hint="name the folder that save_pretrained wrote, or that was downloaded from the hub",
        )
    known = f"its model_type must be one that transformers {transformers.__version__} knows"
    return configuration(folder, known)


def _is_of_tokenizer(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in TOKENIZER_FILES)


def _write_generation(folder: Path, place: Path) -> None:
    """Write how the model writes text, where it says so: the tokens of it are the vocabulary's."""
    settings = read_object(folder / GENERATION)
    if settings:
        write_json(place / GENERATION, settings)


def _write_processors(
    folder: Path, place: Path, small: Mapping[str, Any], whole: Mapping[str, Any]
) -> None:
    for name in NAMES:
        settings = read_object(folder / name)
        if settings:
            write_json(place / name, small_processor(settings, small, whole))
