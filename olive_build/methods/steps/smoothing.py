"""Activation outliers into the weights before int8: which scale is good, by measured error.

For every value that feeds matrix products with stored weights, the strength of SmoothQuant's
migration (Xiao et al. 2022, arXiv 2211.10438, equation 4) is searched: s = max|x|^a / max|w|^(1-a)
for each input channel. The one with the least error of the quantized product on calibration
inputs is taken; a = 0, which leaves the channels alone, is one of those tried.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.steps.change_graph import ChangeGraph
from olive_build.steps.notes import NothingToDo

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

STRENGTHS = (0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)
# Tokens of each value on which strengths are compared, spread evenly over the samples.
ROWS = 2048
# A gain below this share of the error is noise of the sample, and a Mul costs time.
LEAST_GAIN = 0.03
LARGEST = 1e3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Smooth(ChangeGraph):
    """Write model.onnx in which channels with outliers are scaled down before they are quantized.

    Inputs: model, calibration. `activations` is how the product's input will be quantized:
    per-tensor, per-token, or block (of `block_size`, where weights are in blocks too). Values
    that an activation function makes are left alone: their outliers are tokens, not channels.
    Exact in fp32. Where no value gains, the graph passes through with a note; raises StepError
    where it was `asked` for.
    """

    activations: str
    block_size: int | None = None
    asked: bool = True

    stage = "quantize"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.calibration.inputs import CALIBRATION, read_inputs
        from olive_build.rewrites.migrate_scale import migrate_scale

        scales = self._scales(model, read_inputs(inputs["calibration"] / CALIBRATION))
        if not scales:
            raise NothingToDo(
                "smoothing found no outliers to migrate",
                why=self._why_none(model),
                hint="write `smooth: false` for this quantizer",
            )
        log.info("%s", migrate_scale(model, scales))

    def _scales(self, model: onnx.ModelProto, feeds: Iterable[dict[str, Any]]) -> dict[str, Any]:
        import numpy as np
        from onnx import numpy_helper

        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        scales = {}
        sampled = _sample(model, _products(model, stored), feeds)
        for value, (rows, largest) in sampled.items():
            weight = np.concatenate(
                [numpy_helper.to_array(stored[name]) for name in _products(model, stored)[value]],
                axis=1,
            )
            scale = self._best(value, rows, largest, weight)
            if scale is not None:
                scales[value] = scale
        return scales

    def _why_none(self, model: onnx.ModelProto) -> str:
        from olive_build.steps.model_check import LARGE_WEIGHT

        if _products(model, {tensor.name: tensor for tensor in model.graph.initializer}):
            return "no scale of the channels lowered the error of a product on calibration inputs"
        return f"no product has a weight of {LARGE_WEIGHT:,} values or more"

    def _best(self, value: str, rows: Any, largest: Any, weight: Any) -> Any:
        """Return the scale [channels] with the least error, None where none is worth it."""
        import numpy as np

        exact = rows @ weight
        before = best = self._error(rows, weight, exact)
        found = None
        heaviest = np.abs(weight).max(axis=1) + 1e-6
        for strength in STRENGTHS:
            scale = (largest + 1e-6) ** strength / heaviest ** (1 - strength)
            scale /= np.exp(np.log(scale).mean())
            scale = np.clip(scale, 1 / LARGEST, LARGEST).astype(np.float32)
            error = self._error(rows / scale, weight * scale[:, None], exact)
            if error < best:
                best, found = error, scale
        log.info("%s: error %.3g before, %.3g after", value, before, best)
        return found if best < before * (1 - LEAST_GAIN) else None

    def _error(self, rows: Any, weight: Any, exact: Any) -> float:
        from olive_build.calibration.rounding import rounded_rows, rounded_weight

        x = rounded_rows(rows, self.activations, self.block_size)
        w = rounded_weight(weight, self.block_size)
        return float(((x @ w - exact) ** 2).sum() / (exact**2).sum())


def _products(model: onnx.ModelProto, stored: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return {value: weights of the MatMuls that it feeds}, activation functions' left out."""
    from olive_build.rewrites.per_token_scale import is_activation
    from olive_build.steps.model_check import LARGE_WEIGHT

    producers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in stored:
            continue
        dims = stored[node.input[1]].dims
        large = len(dims) == 2 and dims[0] * dims[1] >= LARGE_WEIGHT
        if large and not is_activation(producers.get(node.input[0]), producers):
            found.setdefault(node.input[0], []).append(node.input[1])
    return found


def _sample(
    model: onnx.ModelProto, values: Mapping[str, Any], feeds: Iterable[dict[str, Any]]
) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Return {value: (some rows [tokens, channels], largest magnitude [channels])}."""
    import numpy as np

    from olive_build.calibration.capture import stream_values

    chosen = list(feeds)
    share = -(-ROWS // len(chosen))
    rows: dict[str, list[Any]] = {name: [] for name in values}
    largest: dict[str, Any] = {}
    for number, captured in enumerate(stream_values(model, list(values), chosen)):
        for name, value in captured.items():
            flat = value.reshape(-1, value.shape[-1])
            # Another place in each sample: first tokens alone ([CLS]) are unlike all others.
            places = (number + np.arange(share) * max(len(flat) // share, 1)) % len(flat)
            rows[name].append(flat[np.unique(places)].copy())
            top = np.abs(flat).max(axis=0)
            largest[name] = np.maximum(largest.get(name, top), top)
    return {name: (np.concatenate(parts), largest[name]) for name, parts in rows.items()}
