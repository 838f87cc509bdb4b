"""How much memory a process uses and used at most, in bytes, as the kernel counts it."""

from __future__ import annotations

import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def reset_high_water() -> bool:
    """Begin counting the peak anew; False where the kernel cannot.

    5 into /proc/self/clear_refs: proc_pid_clear_refs(5).
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def high_water() -> int | None:
    """Return the peak resident memory since the last reset, or of the whole process elsewhere."""
    if STATUS.is_file():
        return _status("VmHWM")
    return max_rss(children=False)


def resident() -> int | None:
    """Return the resident memory now; where only the peak is known, that."""
    if STATUS.is_file():
        return _status("VmRSS")
    return max_rss(children=False)


def _status(key: str) -> int | None:
    for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None


def max_rss(*, children: bool) -> int | None:
    """Return the most that this process, or the largest ended child, ever used; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
