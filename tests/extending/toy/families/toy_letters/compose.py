"""Both components in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import compose as joining

from olive_build.families.toy_letters.spec import DECODER, ENCODER, STATES, VECTOR


def compose(
    parts: Mapping[str, onnx.ModelProto], folder: Path, options: Mapping[str, str]
) -> onnx.ModelProto:
    """Return one model from letters to the vector of a word."""
    encoder = joining.add_prefix(
        parts[ENCODER], "encoder/", rename_inputs=False, rename_outputs=False
    )
    decoder = joining.add_prefix(
        parts[DECODER], "decoder/", rename_inputs=False, rename_outputs=False
    )
    return joining.merge_models(encoder, decoder, io_map=[(STATES, STATES)], outputs=[VECTOR])
