"""Whether a model has room on this machine, said before it is fetched or loaded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from olive_build.errors import PlanError
from olive_build.proposing.model import Found

# A build keeps the exported graph and a smaller one of each kind beside what was downloaded.
COPIES = 2
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def require_room(found: Found, cache: Path) -> None:
    """Raise PlanError for a model that is larger than the memory, or whose build fills the disk.

    `cache` is where a build keeps its files.
    """
    loaded = found.loaded or 0
    memory = _memory()
    if memory is not None and loaded > memory:
        raise PlanError(
            f"the model is larger than the memory: {_gigabytes(loaded)} in fp32",
            where=str(found.folder),
            why=f"this machine has {_gigabytes(memory)}, and a model is loaded in fp32 to be "
            "exported and compared",
            hint="build it on a machine with more memory, or take a smaller model",
        )
    there = next(path for path in (cache, *cache.parents) if path.exists())
    free, needed = shutil.disk_usage(there).free, (found.download or 0) + COPIES * loaded
    if needed > free:
        raise PlanError(
            f"the disk has no room for a build of the model: it takes {_gigabytes(needed)}",
            where=str(there),
            why=f"{_gigabytes(free)} are free, and a build keeps the model and its graphs in fp32",
            hint="free some of it (`olive-build cache gc`), or set OLIVE_BUILD_CACHE to a folder "
            "on a larger disk",
        )


def _memory() -> int | None:
    """Return this machine's memory in bytes, or what a container may use of it."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    for path in LIMITS:
        try:
            limit = int(Path(path).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such file, or `max`
            continue
        whole = min(whole, limit)
    return whole


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
