"""Draw the pictures that proofs and calibration of picture tasks have built in: Apache-2.0, ours.

python benchmarks/draw_pictures.py olive_build/proof/data
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from olive_build.proof.pictures import Pictures
from olive_build.tasks._drawing import drawn

# Height and width: wide, tall, square, small, of odd numbers of pixels.
SIZES = ((120, 160), (160, 120), (96, 96), (101, 149), (64, 200), (147, 83), (60, 44), (128, 128))


def main(folder: Path) -> None:
    """Write pictures.npz and calibration-pictures.npz; the same numbers on every machine."""
    for name, seed, times in (("pictures", 2026, 3), ("calibration-pictures", 1130, 2)):
        stored = Pictures.of(drawn(seed, SIZES * times)).stored()
        np.savez_compressed(folder / f"{name}.npz", **stored)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
