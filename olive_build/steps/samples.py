"""Calibration data in two halves: quantizers learn from one, a search judges by the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

PARTS = ("learn", "judge")


@dataclass(frozen=True)
class SplitSamples:
    """Write the file of samples with every other one: the first, third, ... for `learn`.

    Inputs: data, a .jsonl file (a sample a line) or an .npz file (a sample an entry of each array's
    first axis). What a quantizer learnt from would flatter it as a judge.
    """

    part: str

    kind: ClassVar[str] = "samples"
    version: ClassVar[int] = 1
    worker: ClassVar[str] = "onnxruntime"
    tools: ClassVar[tuple[str, ...]] = ("numpy",)
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        data = inputs["data"]
        first = PARTS.index(self.part)
        if data.suffix == ".npz":
            _split_arrays(data, first, out / data.name)
            return
        lines = [line for line in data.read_bytes().splitlines() if line.strip()]
        (out / data.name).write_bytes(b"\n".join(lines[first::2]) + b"\n")


def sample_file(path: Path) -> Path:
    """Return the file of samples: `path` itself, or the one file in the folder at `path`."""
    if not path.is_dir():
        return path
    (file,) = path.iterdir()
    return file


def _split_arrays(data: Path, first: int, out: Path) -> None:
    import numpy as np

    from olive_build.errors import StepError, first_line

    try:
        with np.load(data, allow_pickle=False) as arrays:
            np.savez_compressed(out, **{name: arrays[name][first::2] for name in arrays.files})
    except (OSError, ValueError, IndexError) as error:
        raise StepError(
            "the calibration data cannot be read", where=str(data), why=first_line(error)
        ) from error
