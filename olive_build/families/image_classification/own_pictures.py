"""Pictures of the proof's own: seeded, of sizes and textures that a user's data may not have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from olive_build.families.image_classification.preparation import Preparation
from olive_build.proof.pictures import Picture

SEED = 12
PATCH = 9


def own_pictures(prepared: Preparation) -> Iterator[Picture]:
    """Yield pictures uint8 [height, width, channels], of the network's size where it must be.

    Otherwise they are also wider, taller, tiny, larger than what the network takes and of odd
    numbers of pixels. One of three is noise, one has edges, one is smooth; the first is grey.
    """
    random = np.random.default_rng(SEED)
    channels = len(prepared.mean)
    for index, (height, width) in enumerate(_sizes(prepared)):
        kind = index % 3
        grain = (1, PATCH, max(height, width))[kind]
        shape = (-(-height // grain) + 1, -(-width // grain) + 1, channels)
        coarse = random.integers(0, 256, shape).astype(np.float64)
        found = coarse.repeat(grain, axis=0).repeat(grain, axis=1)
        if kind == 2:
            rows, columns = (np.linspace(0, 1, size)[:, None] for size in (height, width))
            top = coarse[0, 0] + (coarse[0, 1] - coarse[0, 0]) * columns[:, :, None].swapaxes(0, 1)
            found = top + (coarse[1, 0] - coarse[0, 0]) * rows[:, :, None] / 2
        values = np.clip(found[:height, :width], 0, 255).astype(np.uint8)
        yield values[..., :1].repeat(channels, axis=2) if index == 0 else values


def _sizes(prepared: Preparation) -> list[tuple[int, int]]:
    height, width = prepared.height, prepared.width
    if not prepared.steps:
        return [(height, width)] * 4
    return [
        (height, width),
        (height + 1, 2 * width - 1),
        (2 * height + 3, width + 2),
        (3, 5),
        (2 * height + 1, 3 * width // 2),
        (height // 2 + 1, 2 * width + 1),
        (7, 3),
        (height - 1, width + 1) if height > 1 else (1, 2),
    ]
