"""Where a proof says of a bundle what its manifest, or the proof itself, says otherwise.

Nothing is run: whoever writes a proof by hand can make it agree with itself, and is found out by
the files. That a verdict, a limit or a size does not follow from the rest needs no file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from olive_build.bundle.layout import models
from olive_build.bundle.training_manifest import is_training
from olive_build.proof.verdict import quality_gates

# One graph in forms that stand for each other; other roles are graphs that run together.
FORMS = ("onnx", "ort")
PUBLISHED = ("passed", "undecided")


def contradictions(manifest: Mapping[str, Any], proof: Mapping[str, Any]) -> Iterator[str]:
    """Yield what does not agree. Raises KeyError, TypeError or AttributeError for what is none."""
    described, proved = manifest["variants"], proof["variants"]
    for name in sorted({*described} ^ {*proved}):
        yield f"{name}: {'not in the proof' if name in described else 'in the proof alone'}"
    sizes = {item["path"]: item["size_bytes"] for item in manifest["files"]}
    for name in sorted({*described} & {*proved}):
        yield from (f"{name}: {problem}" for problem in _of_variant(proved[name]))
        files = models(described[name]["files"])
        found = [sizes[path] for path in files.values()]
        size = max(found) if set(files) <= set(FORMS) else sum(found)
        if not is_training(manifest) and proved[name]["size_bytes"] != size:
            yield f"{name}: its files have {size} bytes, not {proved[name]['size_bytes']}"


def _of_variant(proved: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is recorded of a variant and would not have been published."""
    if proved["verdict"] not in PUBLISHED:
        yield f"its verdict is {proved['verdict']!r}"
    for form, figures in proved["quality"].items():
        gates = quality_gates(figures, proved["limits"])
        if not any(math.isfinite(gate.limit) and gate.value is not None for gate in gates):
            yield f"no limit is set on the quality of its {form} file"
        for gate in gates:
            if gate.status == "failed" or not math.isfinite(gate.limit):
                yield f"recorded of its {form} file is {gate.text()}"
