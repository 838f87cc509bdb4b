"""The tables of onnxruntime's own file formats, through what it carries to read and write them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def bindings(table: str) -> Any:
    """Return the module of a flatbuffer table of onnxruntime's, such as "Checkpoint"."""
    import_module("onnxruntime.tools.ort_format_model")  # makes the next one importable
    return import_module(f"ort_flatbuffers_py.fbs.{table}")
