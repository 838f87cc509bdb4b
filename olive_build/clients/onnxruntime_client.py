"""ONNX Runtime in this process: the client of every file, and of `verify`, which has no torch."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError, first_line

# Before the first import: afterwards the native telemetry has already written its files.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Its errors come as exceptions; as lines of a log they would go to the terminal as they are.
FATAL_ONLY = 4


def open_session(
    file: Path | bytes,
    *,
    threads: int = 1,
    provider: str = "CPUExecutionProvider",
    name: str = "a part of the model",
) -> Any:
    """Return an InferenceSession for a .onnx or .ort file, extensions registered.

    `file` may be the bytes of a model, which messages call `name`. Raises StepError, with the
    runtime's own reason, when it cannot be loaded.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    options.register_custom_ops_library(extensions_library())
    try:
        given = str(file) if isinstance(file, Path) else file
        return onnxruntime.InferenceSession(given, options, providers=[provider])
    except Exception as error:
        raise StepError(
            f"onnxruntime cannot load {file.name if isinstance(file, Path) else name}",
            why=first_line(error),
            hint="the file is damaged, or holds an operator that this runtime lacks",
        ) from error


@functools.cache
def extensions_library() -> str:
    """Return the path of onnxruntime-extensions' library, as its get_library_path does.

    Its package is not imported: that would import transformers and torch, which take three seconds
    and 200 MB. Raises StepError when it is not installed.
    """
    spec = importlib.util.find_spec("onnxruntime_extensions")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder) / f"_extensions_pydll{suffix}"
            if path.is_file():
                return str(path)
    raise StepError(
        "the operators of onnxruntime-extensions are missing",
        why="its library _extensions_pydll is not installed",
        hint="run `make setup`, or `pip install onnxruntime-extensions`",
    )


def run_named(session: Any, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Run the session on those of `feeds` that it has as inputs; return all outputs."""
    wanted = {value.name for value in session.get_inputs()}
    return [
        np.asarray(output)
        for output in session.run(None, {k: v for k, v in feeds.items() if k in wanted})
    ]
