"""The client's names for model files, and what other tools' names for them mean."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from olive_build.bundle.layouts.folder import MODELS
from olive_build.bundle.layouts.kinds import DECODER
from olive_build.targets.client import Client

# Of several that stand in a name the first one here counts.
_WORDS = {
    "q4f16": "q4f16",
    "bnb4": "bnb4",
    "fp16": "fp16",
    "float16": "fp16",
    "half": "fp16",
    "q4": "q4",
    "int4": "q4",
    "4bit": "q4",
    "uint8": "uint8",
    "quint8": "uint8",
    "q8": "q8",
    "int8": "q8",
    "qint8": "q8",
    "quant": "q8",
    "quantized": "q8",
    "fp32": "fp32",
    "float32": "fp32",
}


def model_path(client: Client, session: str, dtype: str) -> str:
    """Return where the client looks for a session's file of a dtype."""
    return f"{MODELS}/{session}{client.suffix(dtype)}.onnx"


def meant(path: str, sessions: Collection[str], client: Client) -> str | None:
    """Return the path that the client has for a file of another name, None where it is no guess."""
    stem = PurePosixPath(path).stem
    if DECODER not in sessions and stem.startswith(DECODER):
        stem = stem.replace(DECODER, "model", 1)  # its name in version 2 of the client
    for session in sorted(sessions, key=len, reverse=True):
        if stem.startswith(session):
            words = [word for word in re.split(r"[_.\- ]+", stem[len(session) :].lower()) if word]
            found = [dtype for word, dtype in _WORDS.items() if word in words]
            if not words or found:
                return model_path(client, session, found[0] if words else "fp32")
    return None
