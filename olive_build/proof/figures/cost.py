"""What a file costs: its size, its time, its memory.

`size_ratio`, `slowdown` and the like are against the fp32 graph that a file came from.
"""

from __future__ import annotations

from olive_build.proof.figures import MEGABYTES, MILLISECONDS, SIZE_RATIO, TIMES, Figure

FIGURES = (
    Figure(
        "size_mb",
        "size",
        MEGABYTES,
        "less",
        budget="The largest file, in megabytes of 10^6 bytes.",
    ),
    Figure(
        "size_ratio",
        "size against fp32",
        SIZE_RATIO,
        "less",
        budget="The largest share of the fp32 graph's size: 0.26 is 26 %.",
        limit=1.0,
    ),
    Figure(
        "slowdown",
        "latency against the fp32 graph",
        TIMES,
        "less",
        budget="The longest latency against the fp32 graph's: 1.0 is as slow, 0.5 twice as "
        "fast. Held only where it is measured.",
        limit=1.0,
    ),
    Figure(
        "load_ms",
        "time to load",
        MILLISECONDS,
        "less",
        budget="The longest time to create a session, in milliseconds, with the file in the "
        "system's cache.",
    ),
    Figure(
        "load_ratio",
        "time to load against fp32",
        TIMES,
        "less",
        budget="The longest time to create a session against the fp32 graph's.",
    ),
    Figure(
        "memory_mb",
        "peak memory",
        MEGABYTES,
        "less",
        budget="The largest peak memory of loading and running on one thread, in megabytes of "
        "10^6 bytes above a process that has loaded onnxruntime alone.",
    ),
    Figure(
        "memory_ratio",
        "peak memory against fp32",
        TIMES,
        "less",
        budget="The largest peak memory against the fp32 graph's.",
    ),
    Figure(
        "speedup",
        "speed against PyTorch eager",
        TIMES,
        "more",
        budget="How many times as fast as PyTorch eager it must be, on one thread: a number "
        "for every size that is timed, or one by size, such as {16: 6.5, 128: 3} for tokens. A "
        "size that is named is timed.",
    ),
)
