"""onnxruntime-training without torch, from the environment that has it: the training toolchain."""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from olive_build.errors import StepError, first_line

# Before the first import: afterwards the native telemetry has already written its files.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# onnxruntime's levels run from 0 (verbose) to 4 (fatal). What it calls an error it raises as well.
FATAL_ONLY = 4


@dataclass(frozen=True)
class Runtime:
    """The parts of onnxruntime-training that are used; classes and functions of that library."""

    onnxblock: Any
    CheckpointState: Any
    Module: Any
    Optimizer: Any
    SessionOptions: Any
    InferenceSession: Any
    # (trainable and frozen TensorProtos as bytes, path, whether nominal): writes a checkpoint.
    save_parameters: Any


@functools.cache
def training_runtime() -> Runtime:
    """Import onnxruntime-training and make it quiet.

    Raises StepError in an environment that does not have it.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import _pybind_state as native
    except ImportError as error:
        raise _missing(first_line(error)) from error
    if not hasattr(native, "GradientGraphBuilder"):
        raise _missing(f"onnxruntime {onnxruntime.__version__} here is built without training")
    with _stand_in_for_torch():
        from onnxruntime.training import onnxblock
        from onnxruntime.training.api import CheckpointState, Module, Optimizer
    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    return Runtime(
        onnxblock=onnxblock,
        CheckpointState=CheckpointState,
        Module=Module,
        Optimizer=Optimizer,
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=onnxruntime.InferenceSession,
        save_parameters=native.save_checkpoint,
    )


def _missing(why: str) -> StepError:
    return StepError(
        "the training runtime is not in this environment",
        where=sys.prefix,
        why=why,
        hint="what trains runs in the toolchain `training`: `olive-build doctor` shows whether "
        "it is ready",
    )


@contextmanager
def _stand_in_for_torch() -> Iterator[None]:
    """Let `import torch` succeed inside, where torch is not installed.

    onnxruntime.training imports it for a base class of optimizers that nothing here uses; the real
    one takes 400 MB. onnxruntime.tools asks find_spec("torch"), and so is imported before.
    """
    importlib.import_module("onnxruntime.tools")
    if "torch" in sys.modules or importlib.util.find_spec("torch") is not None:
        yield
        return
    module = types.ModuleType("torch")
    module.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    module.optim = types.SimpleNamespace(Optimizer=object)  # type: ignore[attr-defined]
    sys.modules["torch"] = module
    try:
        yield
    finally:
        sys.modules.pop("torch", None)
