"""Running the bare host, and clips for it."""

from __future__ import annotations

import os
import subprocess
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

HOST = Path(__file__).resolve().parents[2] / "examples" / "bare_host.py"


def call(python: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the bare Python where nothing of the project can be imported."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    return subprocess.run(
        [str(python), *map(str, words)],
        cwd="/",
        env={name: value for name, value in os.environ.items() if name not in hidden},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_wav(
    path: Path, samples: npt.NDArray[np.int16], *, rate: int = 16_000, channels: int = 1
) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path
