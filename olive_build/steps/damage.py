"""What each quantized layer of a graph costs at the model's end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from olive_build.engine.step import Step, write_json

DAMAGE = "damage.json"
BATCH = 8


@dataclass(frozen=True)
class MeasureDamage(Step):
    """Write damage.json: for each layer its node, operator, weight bytes and damage.

    Inputs: reference (the fp32 graph with the same layers), model, calibration. `samples` inputs
    are looked at, in padded batches of eight, where a range that all of a batch shares does most
    harm. The damage of a layer is the loss of cosine of the model's output when that
    layer alone is quantized.
    """

    samples: int

    worker = "onnxruntime"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.attribution.damage import attribute
        from olive_build.calibration.inputs import (
            CALIBRATION,
            count_inputs,
            padded_batches,
            read_inputs,
        )
        from olive_build.steps.model_check import MODEL, read

        calibration = inputs["calibration"] / CALIBRATION
        every = max(count_inputs(calibration) // self.samples, 1)
        chosen = islice(read_inputs(calibration), 0, every * self.samples, every)
        found = attribute(
            read(inputs["reference"] / MODEL),
            read(inputs["model"] / MODEL),
            padded_batches(chosen, BATCH),
        )
        layers = [
            {
                "node": item.layer.name,
                "operator": item.layer.operator,
                "reference_bytes": item.layer.reference_bytes,
                "damage": float(item.damage),
            }
            for item in found.layers
        ]
        write_json(out / DAMAGE, {"whole": float(found.whole), "layers": layers})
