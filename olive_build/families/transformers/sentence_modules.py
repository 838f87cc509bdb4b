"""The modules around a transformer in a folder of sentence-transformers, of small widths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from olive_build.engine.step import write_json
from olive_build.errors import StepError
from olive_build.families.configuration import read_object, read_value, unreadable
from olive_build.families.transformers.seeded import SEED
from olive_build.untrusted import followed

MODULES = "modules.json"
# Settings of the whole, and of its transformer.
SETTINGS = ("config_sentence_transformers.json", "sentence_bert_config.json")
WIDTHS = ("word_embedding_dimension", "embedding_dimension", "dimension", "in_features")


def transformer_folder(source: Path) -> Path:
    """Return where the transformer of a folder lies: the folder itself, or one within it."""
    modules = _modules(source)
    return _place(source, modules[0]) if modules else source


def write_sentence_modules(source: Path, out: Path, small: Any, whole: Any) -> None:
    """Write the modules of `source` below `out`; nothing where it has none.

    `small` and `whole` are the transformer's configurations. Layers of weights get seeded ones of
    the small width; a width that they change to becomes as small. Raises StepError for a module
    of weights that is not a Dense or a LayerNorm.
    """
    modules = _modules(source)
    if not modules:
        return
    widths = {whole.hidden_size: small.hidden_size}
    write_json(out / MODULES, modules)
    first = _place(source, modules[0])
    for folder in {source, first}:
        for name in SETTINGS:
            if settings := read_object(folder / name):
                write_json(out / folder.relative_to(source) / name, settings)
    generator = torch.Generator().manual_seed(SEED)
    for module in modules[1:]:
        _write_module(_place(source, module), _place(out, module), module, widths, generator)


def _write_module(
    folder: Path,
    place: Path,
    module: Mapping[str, Any],
    widths: dict[int, int],
    generator: torch.Generator,
) -> None:
    settings = read_object(folder / "config.json")
    place.mkdir(parents=True, exist_ok=True)
    for name in WIDTHS:
        settings = {k: widths.get(v, v) if k == name else v for k, v in settings.items()}
    kind = str(module.get("type", "")).rpartition(".")[2]
    if kind == "Dense":
        wide = settings["out_features"]
        settings["out_features"] = widths.setdefault(wide, min(wide, settings["in_features"]))
        shape = (settings["out_features"], settings["in_features"])
        weights = {"linear.weight": torch.randn(shape, generator=generator) / shape[1] ** 0.5}
        if settings.get("bias", True):
            weights["linear.bias"] = torch.randn(shape[:1], generator=generator) / 10
        save_file(weights, place / "model.safetensors")
    elif kind == "LayerNorm":
        weights = {
            f"norm.{name}": torch.randn(settings["dimension"], generator=generator)
            for name in ("weight", "bias")
        }
        save_file(weights, place / "model.safetensors")
    elif any(path.suffix in (".safetensors", ".bin") for path in folder.glob("*")):
        raise StepError(
            f"no miniature can be made of the module {kind}",
            where=str(folder),
            why="its weights have a form that is not known",
            hint="build the model without --smoke",
        )
    if settings:
        write_json(place / "config.json", settings)


def _modules(source: Path) -> list[dict[str, Any]]:
    listed = read_value(source / MODULES)
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _place(folder: Path, module: Mapping[str, Any]) -> Path:
    """Return the folder of a module. Raises PlanError where it is not within the model's."""
    path = str(module.get("path", ""))
    place = followed(folder / path)
    if not place.is_relative_to(followed(folder)):
        raise unreadable(folder / MODULES, f"the path '{path}' leads out of the folder")
    return folder / path
