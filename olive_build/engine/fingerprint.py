"""Cache keys: what a step's result depends on, as canonical JSON and its sha256."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from typing import Any, Union, get_args, get_origin, get_type_hints

from olive_build.engine.machine import this_machine
from olive_build.engine.reach import MODULE, reached
from olive_build.engine.registry import toolchains, worker_kind
from olive_build.engine.step import Step

# What a library is called where it is installed, if not as it is imported; and what does its work
# without being imported by us. https://packaging.python.org/en/latest/discussions/
DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "PIL": ("pillow",),
    "google": ("protobuf",),
    "olive": ("olive-ai", "onnxscript", "onnx-ir", "onnxruntime"),
    "onnx_ir": ("onnx-ir",),
    "torch": ("torch", "onnxscript"),
    "yaml": ("pyyaml",),
}
# The version of what is not installed.
ABSENT = "absent"
TYPE = "$type"  # names the class of a nested dataclass: classes with equal fields must differ


def digest_of(value: object) -> str:
    """Return the sha256 of the value's canonical JSON (hex); NaN and infinity are refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def to_fields(step: object) -> dict[str, Any]:
    """Return a step's fields as JSON values. Raises TypeError for what JSON cannot hold."""
    return {f.name: _encode(getattr(step, f.name)) for f in fields(step)}  # type: ignore[arg-type]


def _encode(value: object) -> object:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {TYPE: type(value).__name__, **to_fields(value)}
    raise TypeError(f"{value!r} cannot be a step's field: {type(value).__name__} is not JSON-able")


def from_fields(cls: type, data: Mapping[str, Any]) -> Any:
    """Rebuild a dataclass from `to_fields`, by its type hints. Raises TypeError if they differ."""
    hints = get_type_hints(cls)
    given = {name: value for name, value in data.items() if name != TYPE}
    unknown = sorted(given.keys() - {f.name for f in fields(cls)})
    if unknown:
        raise TypeError(f"{cls.__name__} has no fields {unknown}")
    return cls(**{name: _decode(hints[name], value) for name, value in given.items()})


def _decode(hint: Any, value: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for choice in args:
            with suppress(TypeError, ValueError):
                return _decode(choice, value)
    elif isinstance(value, dict) and is_dataclass(hint):
        if isinstance(hint, type) and hint.__name__ == value.get(TYPE):
            return from_fields(hint, value)
    elif isinstance(value, list) and origin is tuple:
        kinds = [args[0]] * len(value) if args[-1:] == (...,) else args
        return tuple(_decode(kind, item) for kind, item in zip(kinds, value, strict=True))
    elif not isinstance(value, (dict, list)):
        return value
    raise TypeError(f"{value!r} given where {hint} is expected")


def distributions(libraries: Iterable[str]) -> tuple[str, ...]:
    """Return what must be installed for libraries that code imports by these names; sorted."""
    own = [DISTRIBUTIONS.get(item, (item.replace("_", "-"),)) for item in libraries]
    return tuple(sorted({name for names in own for name in names}))


@cache
def tool_version(name: str) -> str:
    """Return the installed version of a distribution, ABSENT if there is none."""
    from importlib import metadata  # 20 ms that verbs without a plan need not pay

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT


@dataclass(frozen=True)
class Description:
    """Everything that a step's result depends on; equal descriptions have equal keys."""

    kind: str
    code: dict[str, str]
    """File of ours that the step reaches -> digest of what it reaches there."""
    fields: dict[str, Any]
    inputs: dict[str, str]
    """Input's name -> digest of its content, so a rebuilt but equal input changes nothing."""
    tools: dict[str, str]
    """Distribution -> version, and "python" -> major.minor."""
    machine: str | None
    """Of a step that measures, the fingerprint of the machine that runs it."""

    @property
    def name(self) -> str:
        """What people call the step: "FuseAttention" is fuse-attention."""
        return re.sub(r"(?<=[a-z\d])(?=[A-Z])", "-", self.kind.rpartition(":")[2]).lower()

    @cached_property
    def key(self) -> str:
        """The cache key (64 hex digits)."""
        return digest_of(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the description as JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Description:
        """Read what `as_json` gave; raises KeyError if something is missing."""
        return cls(**{f.name: data[f.name] for f in fields(cls)})


def _modules(value: object) -> Iterator[str]:
    """Yield the texts in a step's fields that may be names of modules of ours."""
    match value:
        case str() if MODULE.fullmatch(value):
            yield value
        case dict():
            for item in value.values():
                yield from _modules(item)
        case list():
            for item in value:
                yield from _modules(item)


def describe(step: Step, inputs: Mapping[str, str]) -> Description:
    """Describe a step whose inputs (name -> digest) are known.

    Tools of a step that runs in a toolchain are all that its lock pins: it need not be made yet,
    and what is installed here is something else. Its Python is made from the one that runs this.
    """
    fields = to_fields(step)
    code = reached(step.kind, tuple(sorted(_modules(fields))))
    toolchain = worker_kind(step.worker).toolchain
    if toolchain:
        tools = dict(toolchains().pins(toolchain))
    else:
        tools = {name: tool_version(name) for name in distributions(code.libraries)}
    tools["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine = this_machine().fingerprint if step.measures else None
    return Description(step.kind, dict(code.files), fields, dict(inputs), tools, machine)
