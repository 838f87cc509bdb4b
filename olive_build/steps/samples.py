"""Samples that quantizers and a search may look at, never those of the proof.

They come in two parts: quantizers learn from one, a search judges by the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.engine.step import Step

PARTS = ("learn", "judge")
# What scales and roundings gain levels off here; a first percentile steadies with every sample.
ENOUGH_TO_LEARN = 128
# The arrays of a file whose samples are clips of sound, one after the other.
CLIPS = {"audio", "lengths"}


@dataclass(frozen=True)
class SplitSamples(Step):
    """Write the file of samples with those of one part.

    Every other one is learnt from, or fewer, evenly spread, where about ENOUGH_TO_LEARN remain; all
    others judge. Inputs: data, a .jsonl file (a sample a line) or an .npz file (a sample an entry
    of each array's first axis, pictures of several sizes, or clips one after the other). What a
    quantizer learnt from would flatter it as a judge.
    """

    part: str

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        data = inputs["data"]
        if data.suffix == ".npz":
            _split_arrays(data, self.part, out / data.name)
            return
        lines = [line for line in data.read_bytes().splitlines() if line.strip()]
        chosen = [lines[index] for index in _chosen(len(lines), self.part)]
        (out / data.name).write_bytes(b"\n".join(chosen) + b"\n")


def sample_file(path: Path) -> Path:
    """Return the file of samples: `path` itself, or the one file in the folder at `path`."""
    if not path.is_dir():
        return path
    (file,) = path.iterdir()
    return file


def _chosen(count: int, part: str) -> list[int]:
    """Return the places of a part's samples, of `count` in all."""
    every = max(2, count // ENOUGH_TO_LEARN)
    return [index for index in range(count) if (index % every == 0) == (part == PARTS[0])]


def _split_arrays(data: Path, part: str, out: Path) -> None:
    import numpy as np

    from olive_build.errors import StepError, first_line
    from olive_build.proof.audio import StoredClips
    from olive_build.proof.pictures import IMAGES, SHAPES, Pictures
    from olive_build.untrusted import followed, read_npz

    try:
        found: dict[str, Any] = read_npz(followed(data))
        pictures: list[Any] = []
        if SHAPES in found:
            pictures = list(Pictures.restored(found))
            del found[IMAGES], found[SHAPES]
        clips = None
        if found.keys() >= CLIPS:
            clips = StoredClips(found.pop("audio"), found.pop("lengths"))
        columns = [*found.values(), *([pictures] if pictures else []), *([clips] if clips else [])]
        chosen = _chosen(min(map(len, columns), default=0), part)
        kept = {name: value[chosen] for name, value in found.items()}
        if pictures:
            kept |= Pictures.of([pictures[index] for index in chosen]).stored()
        if clips:
            part_of = clips.chosen(chosen)
            kept |= {"audio": part_of.audio, "lengths": part_of.lengths}
        np.savez_compressed(out, **kept)
    except (OSError, ValueError, IndexError) as error:
        raise StepError(
            "the calibration data cannot be read", where=str(data), why=first_line(error)
        ) from error


OWN_INPUTS = ("source", "data")


@dataclass(frozen=True)
class CalibrationInputs(Step):
    """Write calibration.npz: the exported graph's inputs for each sample.

    Inputs: source (model folder), data (the family's file of texts or images), and the graph of
    each component that feeds this one, by its name. Raises StepError for bad data. `calibration` is
    the family's module that reads them; a model of several components is asked for those of one
    `component`, by the recipe's `options`. `shapes` are the axes of a graph of fixed shapes with
    their sizes, in the order of the inputs' first axes: samples are padded or cut to them.
    """

    calibration: str
    shapes: tuple[tuple[str, int], ...] = ()
    component: str = ""
    options: tuple[tuple[str, str], ...] = ()

    worker = "torch"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.calibration.inputs import CALIBRATION, fitted, write_inputs

        data = sample_file(inputs["data"])
        room, source = rooms.look_up(self.calibration), inputs["source"]
        if self.component:
            before = {n: path / "model.onnx" for n, path in inputs.items() if n not in OWN_INPUTS}
            feeds = room.component_feeds(source, data, self.component, before, dict(self.options))
        else:
            feeds = room.calibration_feeds(source, data)
        sizes = [size for _, size in self.shapes]
        write_inputs(fitted(feeds, sizes), out / CALIBRATION)
