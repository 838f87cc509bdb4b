"""Which model files the client asks for on each device when nobody names a dtype."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from olive_build.bundle.layouts.configuration import Settings
from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.bundle.layouts.folder import MODELS, ModelFolder
from olive_build.bundle.layouts.kinds import DECODER, Kind
from olive_build.bundle.layouts.names import meant, model_path
from olive_build.targets.client import Client, Device

# What a merged decoder is made of.
_PARTS = (f"{MODELS}/decoder_model.onnx", f"{MODELS}/decoder_with_past_model.onnx")


@dataclass(frozen=True)
class Request:
    """A model file that the client asks for on a device, by default or as the device's choice."""

    device: Device
    session: str
    dtype: str
    path: str
    default: bool


@dataclass(frozen=True)
class Present:
    """A model file in the folder under a name that the client can ask for."""

    session: str
    dtype: str
    path: str


def requests_of(kind: Kind, settings: Settings) -> tuple[Request, ...]:
    """Return what the client asks for, device by device."""
    client = settings.client
    return tuple(
        Request(device, session, dtype, model_path(client, session, dtype), default)
        for device in client.devices
        for session in kind.sessions
        for dtype in (settings.dtype(device, session),)
        for default in (settings.is_default(device, session),)
    )


def present_models(folder: ModelFolder, kind: Kind, client: Client) -> tuple[Present, ...]:
    """Return the model files in the folder that the client can ask for by a dtype."""
    return tuple(
        Present(session, dtype, path)
        for session in kind.sessions
        for dtype in client.dtypes
        for path in (model_path(client, session, dtype),)
        if folder.has(path)
    )


def check_requests(
    requests: tuple[Request, ...],
    present: tuple[Present, ...],
    folder: ModelFolder,
    client: Client,
    *,
    promised: Collection[str],
) -> Iterator[Finding]:
    """Yield each model file that the client asks for and does not find.

    It is an error where a browser asks for it by default, or where nothing of a graph is there. It
    is a warning for other devices, and for dtypes that the folder does not promise: `promised` is
    what a bundle's manifest lists, empty for other folders.
    """
    there = {item.path for item in present}
    missing: dict[str, list[Request]] = {}
    for request in requests:
        if request.path not in there:
            missing.setdefault(request.path, []).append(request)
    for path, asking in missing.items():
        session = asking[0].session
        dtypes = [item.dtype for item in present if item.session == session]
        browser = any(r.default and r.device.environment == "browser" for r in asking)
        hard = not dtypes or (browser and (not promised or asking[0].dtype in promised))
        yield Finding(
            Code.MISSING_MODEL,
            "error" if hard else "warning",
            f"{path} is missing",
            path,
            f"{client.title} asks for it {_when(asking)}",
            _hint(asking[0], dtypes, folder, client),
        )


def check_names(
    folder: ModelFolder, kind: Kind, present: tuple[Present, ...], client: Client
) -> Iterator[Finding]:
    """Yield model files that the client never asks for: other places, other names."""
    known = {item.path for item in present}
    for name in folder.files:
        if not name.endswith(".onnx") or name in known or name.startswith("reference/"):
            continue
        if not name.startswith(f"{MODELS}/"):
            hint = f"move it into {MODELS}/, with its external data"
            why = f"the client looks in {MODELS}/ alone (subfolder, src/models/modeling_utils.js)"
            what = f"{name} is not in {MODELS}/"
            yield Finding(Code.WRONG_PLACE, "warning", what, name, why, hint)
        elif kind.sessions and name not in _PARTS:
            wanted = meant(name, kind.sessions, client)
            hint = "leave it out, it is only downloaded for nothing"
            if wanted and wanted not in known:
                hint = f"if it is what its name says, call it {wanted}"
            sessions = " and ".join(f"{s}<suffix>.onnx" for s in kind.sessions)
            why = f"for {kind.task} the client asks for {sessions}, with a suffix by dtype"
            yield Finding(Code.WRONG_NAME, "warning", f"{name} is never asked for", name, why, hint)


def _when(asking: list[Request]) -> str:
    by_default = [r.device.title for r in asking if r.default]
    others = [r.device.title for r in asking if not r.default]
    parts = []
    if by_default:
        parts.append(f"by default in {' and in '.join(by_default)}")
    if others:
        parts.append(f"with device {' or '.join(others)}")
    return f"{' and '.join(parts)}, where nobody names a dtype ({asking[0].dtype})"


def _hint(request: Request, dtypes: list[str], folder: ModelFolder, client: Client) -> str:
    session, wanted = request.session, request.path
    for name in folder.files:
        if name.endswith(".onnx") and meant(name, (session,), client) == wanted:
            return f"if {name} is that file, move or rename it to {wanted}"
    if session == DECODER and any(folder.has(part) for part in _PARTS):
        return f"merge {' and '.join(_PARTS)} into one graph with a branch for each"
    if dtypes:
        return (
            "add the file, or set transformers.js_config.dtype in config.json to one that is there"
            f" ({', '.join(dtypes)}), or name it in pipeline()"
        )
    return "convert the model, or copy its files into the folder"
