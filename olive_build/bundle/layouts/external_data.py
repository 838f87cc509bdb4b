"""Whether a model's external data is where the client fetches it, and long enough.

The client fetches `<model>.onnx_data`, `<model>.onnx_data_1` and so on, as many as
`use_external_data_format` in config.json says, and hands them to the runtime under these names
(src/utils/model-loader.js of github.com/huggingface/transformers.js 4.3.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from olive_build.bundle.layouts.configuration import CONFIG, SETTINGS, Settings
from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.bundle.layouts.folder import MODELS, ModelFolder
from olive_build.bundle.layouts.interface import Graph
from olive_build.onnx_files.data_files import data_name
from olive_build.onnx_files.header import ExternalTensor
from olive_build.targets.client import Device
from olive_build.untrusted import followed


def check_external_data(graph: Graph, folder: ModelFolder, settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with the files that hold a model's weights beside it."""
    by_location: dict[str, list[ExternalTensor]] = {}
    for tensor in graph.file.external:
        by_location.setdefault(tensor.location, []).append(tensor)
    for location, tensors in by_location.items():
        yield from _check_file(graph, location, tensors, folder)
    yield from _check_declared(graph, list(by_location), folder, settings)


def _check_file(
    graph: Graph, location: str, tensors: list[ExternalTensor], folder: ModelFolder
) -> Iterator[Finding]:
    where = f"{graph.path}: {tensors[0].name}"
    if not _is_beside(location):
        what = f"its external data lies at {location!r}"
        why = "the client and the runtime take a file beside the model"
        hint = f"save it again with the location {graph.base}_data"
        yield Finding(Code.EXTERNAL_NAME, "error", what, where, why, hint)
        return
    name = f"{MODELS}/{location}"
    if not folder.has(name):
        what = f"{name} is missing"
        others = f" and {len(tensors) - 1} more tensors" if len(tensors) > 1 else ""
        why = f"it holds {tensors[0].name}{others} of {graph.path}"
        hint = "copy it too; if the model was renamed, save it again under its new name"
        yield Finding(Code.EXTERNAL_MISSING, "error", what, name, why, hint)
        return
    wrong = folder.problem(name)
    if wrong:
        yield wrong
        return
    yield from _check_length(graph, name, tensors, folder.size(name))
    yield from _check_link(graph, folder, name)


def _check_length(
    graph: Graph, name: str, tensors: list[ExternalTensor], size: int
) -> Iterator[Finding]:
    ends = [(t.offset + (t.length or 0), t) for t in tensors]
    end, last = max(ends, key=lambda pair: pair[0])
    if end > size or any(t.offset < 0 or (t.length or 0) < 0 for t in tensors):
        yield Finding(
            Code.EXTERNAL_MISSING,
            "error",
            f"{name} is too short",
            name,
            f"{last.name} of {graph.path} goes to byte {end}, the file has {size}",
            "download it again; it is cut off, or belongs to another export",
        )


def _check_link(graph: Graph, folder: ModelFolder, name: str) -> Iterator[Finding]:
    data = followed(folder.path / name)
    model = folder.path / graph.path
    homes = {followed(folder.path / MODELS), followed(model).parent}
    if not any(_below(data, home) for home in homes):
        yield Finding(
            Code.BROKEN_LINK,
            "error",
            f"{name} leads out of the folder",
            name,
            f"onnxruntime refuses external data that is neither beside the model nor beside what"
            f" {graph.path} leads to (https://github.com/microsoft/onnxruntime/pull/27374)",
            "copy the file itself",
        )


def _is_beside(location: str) -> bool:
    return bool(location) and not {"/", "\\"} & set(location) and not location.startswith(".")


def _below(path: Path, folder: Path) -> bool:
    return folder == path.parent or folder in path.parents


def _check_declared(
    graph: Graph, locations: list[str], folder: ModelFolder, settings: Settings
) -> Iterator[Finding]:
    found: dict[Finding, list[str]] = {}
    for device in settings.client.devices:
        for finding in _declared_on(device, graph, locations, folder, settings):
            found.setdefault(finding, []).append(device.title)
    yield from found


def _declared_on(
    device: Device, graph: Graph, locations: list[str], folder: ModelFolder, settings: Settings
) -> Iterator[Finding]:
    number = settings.chunks(device, graph.session, graph.base)
    fetched = [data_name(graph.base, index) for index in range(number)]
    where = f"{CONFIG}: {SETTINGS}.use_external_data_format"
    unfetched = [name for name in locations if name not in fetched]
    named = [name for name in unfetched if name.startswith(f"{graph.base}_data")]
    renamed = [name for name in unfetched if name not in named and _is_beside(name)]
    if renamed:
        yield Finding(
            Code.EXTERNAL_NAME,
            "error",
            f"its weights are in {renamed[0]}, the client fetches {graph.base}_data",
            graph.path,
            "the name is written in the model; renaming a model or its data does not change it",
            f"save the model again with the location {graph.base}_data",
        )
    if named:
        needed = len(locations)
        yield Finding(
            Code.EXTERNAL_UNDECLARED,
            "error",
            f"config.json does not declare the external data of {graph.path}",
            where,
            f"a browser then does not fetch {named[0]}, and the session fails",
            f'write {{"{graph.base}": {needed}}} there',
        )
    beside = [name for name in fetched if name not in locations]
    lacking = [f"{MODELS}/{name}" for name in beside if not folder.has(f"{MODELS}/{name}")]
    if lacking:
        yield Finding(
            Code.EXTERNAL_UNDECLARED,
            "error",
            f"config.json declares {lacking[0]}, which is not there",
            where,
            f"the client waits for it together with {graph.path}, and never answers",
            "declare external data by the name of each model that has some",
        )
