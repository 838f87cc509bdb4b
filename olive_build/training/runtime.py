"""onnxruntime-training without torch, from the environment that has it: the training toolchain."""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import tempfile
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


STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
SOURCES = "/onnxruntime_src/"
# What follows a first line that ends with "for the following indices" (CheckShapes of
# onnxruntime/core/session/inference_session.cc).
WRONG_SIZE = re.compile(r"index: (\d+) Got: (\S+) Expected: (\S+)")


def reason(text: str) -> str:
    """Return the first line of a message; a C++ signature gives way to the file that it was in.

    Sizes that are not as they should be are told behind it.
    """
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    line = _without_signature(STATUS.split(line)[-1])
    sizes = [
        f"axis {axis} is {got} and has to be {due}" for axis, got, due in WRONG_SIZE.findall(text)
    ]
    return f"{line}: {', '.join(sizes)}" if sizes else line


def _without_signature(line: str) -> str:
    if SOURCES not in line:
        return line
    before, rest = line.split(SOURCES, 1)
    path, _, message = rest.partition(" ")
    # The signature ends with the last closing parenthesis that a condition or a message follows.
    message = message.rsplit(") ", 1)[-1].strip() or "no reason given"
    return f"{before}{message} ({path})".replace(SOURCES, "")


TAIL_BYTES = 4000


@contextmanager
def captured() -> Iterator[None]:
    """Keep back what is printed inside, native code included; print its end when that raises.

    The gradient builder writes hundreds of lines about graphs that it builds without a fault.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(saved, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            if failed:
                os.write(2, _end(stream.fileno()))


def _end(descriptor: int) -> bytes:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    os.lseek(descriptor, max(0, size - TAIL_BYTES), os.SEEK_SET)
    return os.read(descriptor, TAIL_BYTES)


def free_memory() -> None:
    """Collect garbage and, with the GNU C library, return freed pages to the system.

    That library keeps what native code frees in small pieces: 0.3 GB once the checkpoint of a
    wav2vec2-base is written, which the peak of what follows would have on top.
    """
    gc.collect()
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
