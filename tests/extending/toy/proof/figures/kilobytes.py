"""A figure of cost that is not in the product: a file's size, in another unit."""

from __future__ import annotations

from olive_build.proof.figures import Figure, Unit

FIGURES = (
    Figure(
        "size_kb",
        "size in kilobytes",
        Unit(".0f", " kB"),
        "less",
        budget="The largest file, in kilobytes of 1,000 bytes.",
        cost=lambda proof: proof.size_bytes / 1e3,
    ),
)
