"""Memory that is no longer used, given back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys


def free_memory() -> None:
    """Collect garbage and, with the GNU C library, return freed pages to the system.

    That library keeps what native code frees in small pieces: 0.3 GB once the checkpoint of a
    wav2vec2-base is written, which the peak of what follows would have on top.
    """
    gc.collect()
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
