"""Read the model files of a folder, and what can be said of each by its bytes alone."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.bundle.layouts.folder import MODELS, ModelFolder
from olive_build.bundle.layouts.interface import Graph
from olive_build.bundle.layouts.requests import Present
from olive_build.onnx_files.data_files import data_name
from olive_build.onnx_files.header import read_onnx
from olive_build.onnx_files.wire import DamagedFile
from olive_build.targets.client import Client

_ORT_MARK = b"ORTM"


def read_models(
    folder: ModelFolder, present: tuple[Present, ...], client: Client
) -> tuple[list[Graph], list[Finding]]:
    """Return the graphs that can be read, and what is wrong with the other files."""
    graphs, findings = [], []
    for item in present:
        wrong = folder.problem(item.path) or _unreadable(folder, item.path, client)
        if wrong:
            findings.append(wrong)
            continue
        try:
            file = read_onnx(folder.path / item.path)
        except (DamagedFile, OSError, RecursionError) as error:
            why = str(error) or "its graphs lie in one another without end"
            findings.append(_damaged(item.path, why))
            continue
        graphs.append(Graph(item.path, item.session, item.dtype, file))
    return graphs, findings


def check_sizes(graph: Graph, folder: ModelFolder, client: Client) -> Iterator[Finding]:
    """Yield files that are too large for a browser, and models too large for WebAssembly."""
    locations = dict.fromkeys(tensor.location for tensor in graph.file.external)
    data = [f"{MODELS}/{name}" for name in locations if folder.has(f"{MODELS}/{name}")]
    sizes = {name: folder.size(name) for name in data if not folder.problem(name)}
    for name, size in sizes.items():
        if size >= client.largest_file:
            yield Finding(
                Code.TOO_LARGE,
                "error",
                f"{name} has {_gigabytes(size)}",
                name,
                "a browser holds each file in one array; beyond 2 GiB that cannot be relied on",
                "save the weights in files below 2 GiB: "
                f"{data_name(graph.base, 0)}, {data_name(graph.base, 1)}",
            )
    total = sum(sizes.values()) + folder.size(graph.path)
    if total >= client.largest_wasm:
        yield Finding(
            Code.TOO_LARGE,
            "error" if graph.dtype == "q8" else "warning",
            f"{graph.path} and its data have {_gigabytes(total)}",
            graph.path,
            "WebAssembly in the client addresses 4 GiB, weights and activations together",
            "quantize to fewer bits, or name device webgpu for it",
        )


def _unreadable(folder: ModelFolder, path: str, client: Client) -> Finding | None:
    size = folder.size(path)
    if size >= client.largest_file:
        return Finding(
            Code.TOO_LARGE,
            "error",
            f"{path} has {_gigabytes(size)}",
            path,
            "an ONNX file is one protobuf message, and these end at 2 GiB; it was not read",
            f"save the weights as external data, {data_name(path.rpartition('/')[2], 0)}",
        )
    with (folder.path / path).open("rb") as stream:
        if stream.read(8)[4:] == _ORT_MARK:
            return Finding(
                Code.UNREADABLE,
                "error",
                "an ORT file under the name of an ONNX file",
                path,
                "onnxruntime-web loads it, onnxruntime-node does not",
                "put the .onnx file there that it was converted from",
            )
    return None


def _damaged(path: str, why: str) -> Finding:
    hint = "download or export it again, and compare the size with the original's"
    return Finding(Code.UNREADABLE, "error", f"{path} is no whole ONNX file", path, why, hint)


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
