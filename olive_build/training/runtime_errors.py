"""Messages of onnxruntime's native code, without the C++ signatures before them."""

from __future__ import annotations

import re

STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
SOURCES = "/onnxruntime_src/"


def reason(text: str) -> str:
    """Return the first line of a message; a C++ signature gives way to the file that it was in."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    line = STATUS.split(line)[-1]
    if SOURCES not in line:
        return line
    before, rest = line.split(SOURCES, 1)
    path, _, message = rest.partition(" ")
    # The signature ends with the last closing parenthesis that a condition or a message follows.
    message = message.rsplit(") ", 1)[-1].strip() or "no reason given"
    return f"{before}{message} ({path})".replace(SOURCES, "")
