"""Which machine a figure was measured on. A measured verdict is reused only on the same one."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

# What decides which kernels onnxruntime picks; the rest of the flags says nothing about figures.
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


@dataclass(frozen=True)
class Machine:
    """The processor, what it can do, and how many of it there are."""

    cpu: str
    cores: int
    features: tuple[str, ...]
    system: str
    architecture: str

    @property
    def fingerprint(self) -> str:
        """A short digest that is equal on machines where figures may be compared."""
        text = repr(sorted(asdict(self).items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "features": list(self.features), "fingerprint": self.fingerprint}


@functools.cache
def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(
        cpu=info.get("model name") or platform.processor() or "unknown",
        cores=cores or 1,
        features=tuple(flag for flag in RELEVANT_FLAGS if flag in flags),
        system=platform.system(),
        architecture=platform.machine(),
    )


def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
