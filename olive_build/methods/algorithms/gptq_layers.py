"""Round a quantized graph's weights again by GPTQ, layer by layer, where held-out samples agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from olive_build.methods.algorithms.float_products import (
    FloatProduct,
    find_origin,
    float_products,
    second_moments,
)
from olive_build.methods.algorithms.gptq import Floats, gptq_integers, output_error
from olive_build.methods.algorithms.stored_weights import StoredWeight, stored_weights

# One sample of so many judges and is not learnt from.
HELD_OUT = 4
# Second moments that are held at a time; a layer of 16,384 inputs needs 2 GB on its own.
MOST_BYTES = 512_000_000

Feeds = Iterable[Mapping[str, npt.NDArray[Any]]]


@dataclass(frozen=True)
class LayerRounding:
    """What became of one layer: the error of its output on held-out samples, relative to it.

    `reason` says why its integers stay as they were; None when they were chosen again.
    """

    node: str
    nearest: float | None
    gptq: float | None
    reason: str | None


@dataclass(frozen=True)
class _Layer:
    stored: StoredWeight
    origins: Sequence[FloatProduct]

    def costs(self) -> dict[tuple[object, ...], int]:
        """Return the bytes of both second moments of each of the layer's inputs."""
        return {p.key(): 2 * 4 * p.weight().shape[0] ** 2 for p in self.origins}


def round_again(
    model: onnx.ModelProto,
    before: onnx.ModelProto,
    feeds: Callable[[], Feeds],
    *,
    damping: float,
    threads: int,
    most_bytes: int = MOST_BYTES,
) -> list[LayerRounding]:
    """Change the integers in `model`, which `before` was quantized to; return all layers.

    `feeds` gives the calibration samples from the first one each time it is called; it is called
    once for each group of layers whose second moments fit into `most_bytes`.
    """
    weights, declined = stored_weights(model)
    outcomes = [LayerRounding(node, None, None, why) for node, why in declined.items()]
    products = float_products(before)
    layers = []
    for stored in weights:
        integers, grid = stored.read()
        origins = find_origin(grid.values(integers), stored.nodes, products)
        if origins:
            layers.append(_Layer(stored, origins))
        else:
            why = "the fp32 graph has no weight that is near it"
            outcomes.extend(LayerRounding(node, None, None, why) for node in stored.nodes)
    for group in _groups(layers, most_bytes):
        chosen = [product for layer in group for product in layer.origins]
        moments = second_moments(before, chosen, feeds(), held_out=HELD_OUT, threads=threads)
        outcomes.extend(_round_layer(layer, moments, damping) for layer in group)
    return outcomes


def _groups(layers: Sequence[_Layer], most_bytes: int) -> Iterator[list[_Layer]]:
    """Yield the layers in parts whose second moments fit into `most_bytes`, or one alone."""
    group: list[_Layer] = []
    costs: dict[tuple[object, ...], int] = {}
    for layer in layers:
        together = costs | layer.costs()
        if group and sum(together.values()) > most_bytes:
            yield group
            group, together = [], layer.costs()
        group.append(layer)
        costs = together
    if group:
        yield group


def _round_layer(
    layer: _Layer, moments: Mapping[tuple[object, ...], tuple[Floats, Floats]], damping: float
) -> LayerRounding:
    """Choose the integers of one layer again; keep them if both sums of samples are better off."""
    keys = dict.fromkeys(product.key() for product in layer.origins)
    learnt, judged = (np.sum([moments[key][part] for key in keys], axis=0) for part in (0, 1))
    weight = layer.origins[0].weight()
    integers, grid = layer.stored.read()
    node = layer.stored.nodes[0]
    size = max(output_error(weight, judged), 1e-30)

    def error(values: Floats, part: Floats) -> float:
        return output_error(values - weight, part)

    before = grid.values(integers)
    nearest = float(np.sqrt(error(before, judged) / size))
    try:
        chosen = gptq_integers(weight, grid, learnt, damping=damping)
    except np.linalg.LinAlgError as problem:
        return LayerRounding(node, nearest, None, str(problem))
    after = grid.values(chosen)
    gptq = float(np.sqrt(error(after, judged) / size))
    if not gptq < nearest:
        return LayerRounding(node, nearest, gptq, "held-out samples are better off with nearest")
    if error(after, learnt) > error(before, learnt):
        return LayerRounding(node, nearest, gptq, "the samples learnt from are worse off")
    layer.stored.write(chosen)
    return LayerRounding(node, nearest, gptq, None)
