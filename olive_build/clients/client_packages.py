"""Finds what `make clients` installed, and the system's browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from olive_build.errors import UsageError

PROGRAMS = Path(__file__).resolve().parent
FOLDER_VARIABLE = "OLIVE_BUILD_CLIENTS"
CHROMIUM_VARIABLE = "OLIVE_BUILD_CHROMIUM"
CHROMIUMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
WASM = "onnxruntime-web/dist/ort-wasm-simd-threaded"
# What a page needs of the packages. The plain build runs on the CPU; WebGPU's waits (asyncify), is
# twice as large, and runs on the CPU at half the speed.
PLAIN_RUNTIME = {
    "transformers.min.js": "@huggingface/transformers/dist/transformers.min.js",
    "ort-wasm-simd-threaded.mjs": f"{WASM}.mjs",
    "ort-wasm-simd-threaded.wasm": f"{WASM}.wasm",
}
WEBGPU_RUNTIME = {
    "ort-wasm-simd-threaded.asyncify.mjs": f"{WASM}.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm": f"{WASM}.asyncify.wasm",
}
# What a page needs to train: the last release that can, under a name of its own.
TRAINING = "onnxruntime-web-training/dist"
TRAINING_RUNTIME = {
    name: f"{TRAINING}/{name}"
    for name in (
        "ort.training.wasm.min.mjs",
        "ort-training-wasm-simd-threaded.mjs",
        "ort-training-wasm-simd-threaded.wasm",
    )
}


def clients_folder() -> Path | None:
    """Return the folder that `make clients` made, or None where it did not run.

    OLIVE_BUILD_CLIENTS names another; otherwise it is .clients beside this package, or here. Here
    comes last: in somebody else's folder, it would be their JavaScript.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    places = [Path(named)] if named else [PROGRAMS.parents[1] / ".clients", Path(".clients")]
    return next((place.resolve() for place in places if (place / ".ready").is_file()), None)


def require_clients() -> Path:
    """Return the folder that `make clients` made. Raises UsageError if there is none."""
    found = clients_folder()
    if found:
        return found
    named = os.environ.get(FOLDER_VARIABLE)
    raise UsageError(
        "the client packages (transformers.js and its runtimes) are not installed",
        where=str(Path(named).resolve() if named else PROGRAMS.parents[1] / ".clients"),
        why="`make clients` has not finished there",
        hint="run `make clients` in the project's folder; it needs Node 20 and npm.\n"
        f"Where they lie elsewhere, name the folder in {FOLDER_VARIABLE}.",
    )


def find_chromium() -> str | None:
    """Return the path of Chromium, or None; OLIVE_BUILD_CHROMIUM names one."""
    named = os.environ.get(CHROMIUM_VARIABLE)
    names = (named,) if named else CHROMIUMS
    return next((path for name in names if (path := shutil.which(name))), None)


def require_chromium() -> str:
    """Return the path of Chromium. Raises UsageError if there is none."""
    found = find_chromium()
    if found:
        return found
    named = os.environ.get(CHROMIUM_VARIABLE)
    raise UsageError(
        "no Chromium was found",
        why=f"{CHROMIUM_VARIABLE} names {named}, which is no program"
        if named
        else "none of its names is on the PATH",
        hint="install it (`apt-get install chromium`), or name a Chromium or Chrome in "
        f"{CHROMIUM_VARIABLE}",
    )


def runtime_files(packages: Mapping[str, str]) -> dict[str, Path]:
    """Return the files of PLAIN_RUNTIME or WEBGPU_RUNTIME by name. Raises UsageError for a lack."""
    folder = require_clients() / "node_modules"
    files = {name: folder / path for name, path in packages.items()}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise UsageError(
            "the client packages are not complete",
            where=missing[0],
            why="the file is missing",
            hint="remove the folder .clients and run `make clients` again",
        )
    return files
