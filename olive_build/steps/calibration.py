"""Samples that quantizers and the search may look at; never those of the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.step import Step

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
        from olive_build.steps.samples import sample_file

        data = sample_file(inputs["data"])
        room, source = rooms.look_up(self.calibration), inputs["source"]
        if self.component:
            before = {n: path / "model.onnx" for n, path in inputs.items() if n not in OWN_INPUTS}
            feeds = room.component_feeds(source, data, self.component, before, dict(self.options))
        else:
            feeds = room.calibration_feeds(source, data)
        sizes = [size for _, size in self.shapes]
        write_inputs(fitted(feeds, sizes), out / CALIBRATION)
