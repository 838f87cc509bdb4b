"""What a file costs: size, time and memory.

`size_ratio`, `slowdown` and the like are against the fp32 graph that a file came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from olive_build.proof.figures import (
    MEGABYTES,
    MILLISECONDS,
    SIZE_RATIO,
    TIMES,
    Figure,
    Median,
)

if TYPE_CHECKING:
    from olive_build.record.proof import Latency, LoadTime, Memory, ShortMemory, VariantProof


def ratio_to(row: Latency | LoadTime, other: str) -> Median:
    """Return the file's time as a ratio to another contestant's."""
    item = row.ratio_to[other]
    return Median(item.median, *item.interval, row.noisy)


def memory_ratios(
    own: Sequence[Memory | ShortMemory], others: Sequence[Memory | ShortMemory]
) -> Iterator[Median]:
    """Yield the ratio of peaks at each size that both have, as wide as the runs of both allow."""
    by_size = {row.tokens: row for row in others}
    for row in own:
        other = by_size.get(row.tokens)
        # Below a page or two above an empty process there is nothing to compare with.
        if other is not None and other.low > 0:
            yield Median(
                row.median / other.median, max(row.low, 0.0) / other.high, row.high / other.low
            )


def _load(proof: VariantProof) -> list[Median] | None:
    from olive_build.record.proof import THIS

    if proof.load is None:
        return None
    own = proof.load.milliseconds[THIS]
    return [Median(own.median, *own.interval, proof.load.noisy)]


def _load_ratio(proof: VariantProof) -> list[Median] | None:
    from olive_build.record.proof import FP32

    if proof.load is None:
        return None
    return [ratio_to(proof.load, FP32)] if FP32 in proof.load.ratio_to else []


def _memory(proof: VariantProof) -> list[Median] | None:
    from olive_build.record.proof import THIS

    if proof.memory is None:
        return None
    return [Median(row.median, row.low, row.high) for row in proof.memory[THIS]]


def _memory_ratio(proof: VariantProof) -> list[Median] | None:
    from olive_build.record.proof import FP32, THIS

    if proof.memory is None:
        return None
    return list(memory_ratios(proof.memory[THIS], proof.memory.get(FP32, ())))


FIGURES = (
    Figure(
        "size_mb",
        "size",
        MEGABYTES,
        "less",
        budget="The largest file, in megabytes of 10^6 bytes.",
        cost=lambda proof: proof.size_bytes / 1e6,
    ),
    Figure(
        "size_ratio",
        "size against fp32",
        SIZE_RATIO,
        "less",
        budget="The largest share of the fp32 graph's size: 0.26 is 26 %.",
        limit=1.0,
        cost=lambda proof: proof.ratio,
        against_fp32=True,
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
        cost=_load,
    ),
    Figure(
        "load_ratio",
        "time to load against fp32",
        TIMES,
        "less",
        budget="The longest time to create a session against the fp32 graph's.",
        cost=_load_ratio,
        against_fp32=True,
    ),
    Figure(
        "memory_mb",
        "peak memory",
        MEGABYTES,
        "less",
        budget="The largest peak memory of loading and running on one thread, in megabytes of "
        "10^6 bytes above a process that has loaded onnxruntime alone.",
        cost=_memory,
    ),
    Figure(
        "memory_ratio",
        "peak memory against fp32",
        TIMES,
        "less",
        budget="The largest peak memory against the fp32 graph's.",
        cost=_memory_ratio,
        against_fp32=True,
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
