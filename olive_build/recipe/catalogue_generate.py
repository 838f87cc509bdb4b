"""Writes olive_passes.json: what each pass of the installed Olive accepts.

Run as `python -m olive_build.recipe.catalogue_generate`, which imports olive and so takes seconds.
`--print` prints the catalogue and writes nothing.
"""

from __future__ import annotations

import enum
import json
import os
import sys
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin

os.environ.update(CI="1", ORT_DISABLE_TELEMETRY="1", OLIVE_DISABLE_TELEMETRY="1")

_SIMPLE = {bool: "bool", int: "int", float: "float", str: "string", list: "list", dict: "object"}


def generate() -> dict[str, Any]:
    """Return the catalogue: the same bytes for the same version of Olive."""
    from importlib.metadata import version

    from olive.hardware.accelerator import AcceleratorSpec
    from olive.package_config import OlivePackageConfig

    accelerator = AcceleratorSpec(accelerator_type="cpu", execution_provider="CPUExecutionProvider")
    config = OlivePackageConfig.load_default_config()
    passes = {}
    for key in config.passes:
        name = config.passes[key].module_path.rpartition(".")[2]
        passes[name] = _pass(config, key, accelerator)
    return {"olive-ai": version("olive-ai"), "passes": dict(sorted(passes.items()))}


def _pass(config: Any, key: str, accelerator: Any) -> dict[str, Any]:
    """Return one pass; without options where it does not import here or takes no ONNX model."""
    try:
        pass_class = config.import_pass_module(key)
    except ImportError:
        return {"accepts": _kind_by_module(config.passes[key].module_path), "options": {}}
    accepts = _accepts(pass_class, config.passes[key].module_path)
    if accepts != "onnx":
        return {"accepts": accepts, "options": {}}
    options = pass_class.default_config(accelerator)
    return {"accepts": accepts, "options": {n: _option(o) for n, o in sorted(options.items())}}


def _accepts(pass_class: Any, module: str) -> str:
    annotation = str(pass_class._run_for_config.__annotations__.get("model", ""))
    kinds = (
        ("ONNXModelHandler", "onnx"),
        ("OliveModelHandler", "onnx"),  # any model, and these look inside themselves
        ("Composite", "composite"),
        ("PyTorchModelHandler", "PyTorch"),
    )
    return next((kind for word, kind in kinds if word in annotation), _kind_by_module(module))


def _kind_by_module(module: str) -> str:
    part = module.split(".")[2]
    return "Hugging Face" if part == "onnx" else {"pytorch": "PyTorch"}.get(part, part)


def _option(option: Any) -> dict[str, Any]:
    types_, choices = _types(option.type_)
    entry: dict[str, Any] = {}
    if types_:
        entry["types"] = types_
    if choices:
        entry["choices"] = choices
    default = _plain(option.default_value)
    if default is not None:
        entry["default"] = default
    if option.required:
        entry["required"] = True
    return entry


def _types(annotation: Any) -> tuple[list[str], list[Any]]:
    """Return the kinds of value that a type takes and its closed list of values, if it has one."""
    if annotation in _SIMPLE:
        return [_SIMPLE[annotation]], []
    origin = get_origin(annotation)
    if origin in _SIMPLE:
        return [_SIMPLE[origin]], []
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [], [_plain(member) for member in annotation]
    if isinstance(annotation, type) and issubclass(annotation, Path):
        return ["string"], []
    if origin in (Union, types.UnionType):
        found = [_types(member) for member in get_args(annotation) if member is not type(None)]
        kinds = sorted({kind for members, _ in found for kind in members})
        return kinds, [choice for _, members in found for choice in members]
    return (["object"], []) if annotation is not None else ([], [])


def _plain(value: Any) -> Any:
    """Return a default as JSON; None for one that depends on other options."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, (str, int, float, bool)) else None


def text_of(catalogue: dict[str, Any]) -> str:
    """Return the catalogue as it is committed: an option a line, so that diffs can be read."""
    lines = ["{", f'"olive-ai": {json.dumps(catalogue["olive-ai"])},', '"passes": {']
    entries = []
    for name, entry in catalogue["passes"].items():
        options = ",\n".join(
            f"    {json.dumps(key)}: {json.dumps(option, sort_keys=True)}"
            for key, option in entry["options"].items()
        )
        inner = f"{{\n{options}\n  }}" if options else "{}"
        head = f'{json.dumps(name)}: {{"accepts": {json.dumps(entry["accepts"])}'
        entries.append(f'  {head}, "options": {inner}}}')
    return "\n".join([*lines, ",\n".join(entries), "}", "}"]) + "\n"


def main() -> None:
    """Write or print the catalogue."""
    from olive_build.recipe.catalogue import CATALOGUE_FILE

    text = text_of(generate())
    if "--print" in sys.argv:
        # Olive and its libraries print while they are imported, so only the end is the catalogue.
        sys.stdout.write(text)
    else:
        CATALOGUE_FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
