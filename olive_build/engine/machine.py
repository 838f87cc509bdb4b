"""The machine that this process runs on. A measured figure is reused only on the same machine."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from dataclasses import replace
from pathlib import Path

from olive_build.record.proof import Machine

# These processor flags decide which kernels onnxruntime picks; the others don't change figures.
RELEVANT_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "asimddp",
    "i8mm",
    "sve",
)


@functools.cache
def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = Machine(
        cpu=info.get("model name") or platform.processor() or "unknown",
        cores=cores or 1,
        features=tuple(flag for flag in RELEVANT_FLAGS if flag in flags),
        system=platform.system(),
        architecture=platform.machine(),
        fingerprint="",
    )
    told = {name: value for name, value in vars(found).items() if name != "fingerprint"}
    digest = hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest()
    return replace(found, fingerprint=digest[:16])


def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
