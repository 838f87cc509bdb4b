"""What tasks of recordings have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.shown_clips import clips_code, clips_shown
from olive_build.families.transformers.task import Task
from olive_build.values import dataclass

SEED = 5
# Seconds of the examples.
LENGTHS = (1.0, 1.4, 0.7, 1.9, 1.2, 0.9)


@dataclass(frozen=True, kw_only=True)
class ClipTask(Task):
    """A task whose samples are recordings, in the rate of the model's feature extractor."""

    samples: str = "clips"
    data_suffix: str = ".npz"
    data: tuple[str, ...] = ("speech",)
    calibration: tuple[str, ...] = ("calibration-speech",)
    size_unit: str = "samples"
    sizes: tuple[int, ...] = (16_000,)
    axes: tuple[tuple[str, int], ...] = (("batch_size", 1), ("samples", 16_000))
    batches: bool = False

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        return clips_shown(folder)

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        return clips_code(shown, takes)

    def read(self, data: Path) -> Sequence[Any]:
        """Return the clips of a file, float32 [samples]."""
        from olive_build.errors import StepError, first_line
        from olive_build.proof.audio import StoredClips
        from olive_build.untrusted import followed, read_npz

        try:
            found = read_npz(followed(data))
            clips = StoredClips(found["audio"], found["lengths"])
        except (OSError, ValueError, KeyError) as error:
            raise StepError(
                "the file holds no clips",
                where=str(data),
                why=first_line(error),
                hint="save `audio` [samples of all clips] and `lengths` [clips]",
            ) from error
        return [clips.clip(row) for row in range(len(clips))]

    def examples(self, library: Any) -> Sequence[Any]:
        import numpy as np

        random, rate = np.random.default_rng(SEED), library.rate
        found = []
        for seconds in LENGTHS:
            time = np.arange(int(seconds * rate)) / rate
            tone = sum(np.sin(2 * np.pi * random.uniform(90, 2500) * time) for _ in range(5))
            found.append((0.1 * tone + random.normal(0, 0.02, len(time))).astype(np.float32))
        return found

    def axis(self, name: str, index: int) -> str:
        if index == 0:
            return "batch_size"
        return "samples" if name in ("input_values", "attention_mask") else f"{name}_{index}"
