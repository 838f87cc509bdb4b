"""Messages of onnxruntime's native code, without the C++ signatures before them."""

from __future__ import annotations

import re

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
