"""What each layer of a variant costs: its own noise, its damage at the end, and the sum so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from olive_build.attribution.graft import SWITCHES, switchable
from olive_build.attribution.layers import Layer, quantized_layers
from olive_build.attribution.match import SAMPLES, matching_points
from olive_build.attribution.session import Arrays, Runner, is_float, signal_to_noise_db
from olive_build.errors import UsageError

MASK = "attention_mask"
# What a value that is no finite number counts as: the loss of a vector in the opposite direction.
WORST = 2.0

# How far a candidate's outputs are from the reference's on one feed: 0 where they are the same.
Measure = Callable[[Arrays, Arrays, Arrays], float]


@dataclass(frozen=True)
class LayerDamage:
    """What one layer costs.

    `own_db`: signal to noise of its output when its input is the reference's. `damage`: the mean
    of the measure over the samples, at the model's end, when this layer alone is the variant's;
    `share` of the sum over all layers. `accumulated_db`: signal to noise at its output when the
    whole variant runs. The noise is relative to the power of all samples together.
    """

    layer: Layer
    own_db: float
    damage: float
    share: float
    accumulated_db: float


@dataclass(frozen=True)
class Attribution:
    """All layers in the variant's order, and what the whole variant loses at the model's end."""

    layers: tuple[LayerDamage, ...]
    whole: float
    points: int
    samples: int

    @property
    def ranking(self) -> tuple[LayerDamage, ...]:
        """The layers, the one that does most damage first."""
        return tuple(sorted(self.layers, key=lambda item: -item.damage))


def cosine_loss(reference: Arrays, candidate: Arrays, feed: Arrays) -> float:
    """Return 1 - cosine of the outputs, the mean over the outputs that are floating-point.

    Where the feed has an attention mask and an output is [batch, sequence, ...], padding counts
    for nothing. An output that is not finite counts as WORST.
    """
    mask = feed.get(MASK)
    losses = []
    for name, expected in reference.items():
        if not is_float(expected):
            continue
        pair = [expected, candidate[name]]
        if mask is not None and expected.ndim > 2 and expected.shape[:2] == mask.shape:
            pair = [value[mask.astype(bool)] for value in pair]
        losses.append(_one_minus_cosine(*(value.reshape(-1) for value in pair)))
    return float(np.mean(losses)) if losses else 0.0


def _one_minus_cosine(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    if not np.isfinite(other).all():
        return WORST
    norms = np.linalg.norm(one), np.linalg.norm(other)
    if not all(norms):
        return float(any(norms))
    # Of the unit vectors' difference: 1 - cosine itself would lose what is below 1e-16.
    difference = one / norms[0] - other / norms[1]
    return float(difference @ difference / 2)


def attribute(
    reference: onnx.ModelProto,
    variant: onnx.ModelProto,
    feeds: Iterable[Arrays],
    *,
    measure: Measure | None = None,
    layers: Sequence[Layer] | None = None,
) -> Attribution:
    """Measure every layer by itself and the variant as a whole, one sample at a time.

    `measure` is cosine_loss unless another is given. `layers` are the quantized ones unless given.
    Raises UsageError when the graphs cannot be compared or differ in no layer, StepError when they
    cannot be run.
    """
    given = iter(feeds)
    head = list(islice(given, SAMPLES))
    points = matching_points(reference, variant, head)
    if layers is None:
        layers = quantized_layers(reference, variant, points)
    if not layers:
        raise UsageError(
            "nothing is quantized in the second graph",
            where="comparing two graphs",
            why=f"at {len(points)} points both compute the same values in the same precision",
            hint="give the fp32 graph first and the quantized one second",
        )
    runs = _Runs(reference, variant, layers, measure or cosine_loss)
    samples = 0
    for feed in chain(head, given):
        runs.add(feed)
        samples += 1
    return runs.result(len(points), samples)


@dataclass
class _Power:
    """Sums of squares of a signal and of what differs from it."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> None:
        expected, found = expected.astype(np.float64), found.astype(np.float64)
        self.signal += float(np.square(expected).sum())
        self.noise += float(np.square(found - expected).sum())

    @property
    def db(self) -> float:
        return signal_to_noise_db(self.signal, self.noise)


@dataclass
class _Runs:
    """Both graphs in one, and sums over the samples so far: memory does not grow with them."""

    reference: onnx.ModelProto
    variant: onnx.ModelProto
    layers: Sequence[Layer]
    measure: Measure
    whole: float = 0.0
    own: list[_Power] = field(default_factory=list)
    accumulated: list[_Power] = field(default_factory=list)
    damage: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        points = [point for layer in self.layers for point in layer.points]
        self.own = [_Power() for _ in self.layers]
        self.accumulated = [_Power() for _ in self.layers]
        self.damage = [0.0] * len(self.layers)
        self.outputs = paired_outputs(self.reference, self.variant)
        both = switchable(self.reference, self.variant, self.layers)
        self.either = Runner(both, [point.reference for point in points], as_written=False)
        del both
        self.alone = Runner(self.variant, [point.variant for point in points])

    def add(self, feed: Arrays) -> None:
        """Run the reference, the whole variant, and each layer by itself, on one sample."""
        count = len(self.layers)
        ends = list(self.outputs)
        inner = [point.reference for layer in self.layers for point in layer.points]
        exact = self._run(feed, np.zeros(count, bool), [*ends, *inner])
        outputs = {name: exact[name] for name in ends}
        self._add_whole(feed, exact, outputs)
        for number, layer in enumerate(self.layers):
            names = [point.reference for point in layer.points]
            found = self._run(feed, np.arange(count) == number, [*ends, *names])
            for name in names:
                self.own[number].add(exact[name], found[name])
            self.damage[number] += self.measure(outputs, found, feed)

    def _run(
        self, feed: Arrays, switches: npt.NDArray[np.bool_], names: Sequence[str]
    ) -> dict[str, Any]:
        return self.either.run({**feed, SWITCHES: switches}, list(dict.fromkeys(names)))

    def _add_whole(self, feed: Arrays, exact: Arrays, outputs: Arrays) -> None:
        names = {point.variant for layer in self.layers for point in layer.points}
        found = self.alone.run(feed, list(dict.fromkeys([*self.outputs.values(), *names])))
        for layer, power in zip(self.layers, self.accumulated, strict=True):
            for point in layer.points:
                power.add(exact[point.reference], found[point.variant])
        ended = {name: found[other] for name, other in self.outputs.items()}
        self.whole += self.measure(outputs, ended, feed)

    def result(self, points: int, samples: int) -> Attribution:
        """Return the means over the samples."""
        total = sum(self.damage) or 1.0
        layers = tuple(
            LayerDamage(layer, own.db, damage / samples, damage / total, accumulated.db)
            for layer, own, damage, accumulated in zip(
                self.layers, self.own, self.damage, self.accumulated, strict=True
            )
        )
        return Attribution(layers, self.whole / samples, points, samples)


def paired_outputs(reference: onnx.ModelProto, variant: onnx.ModelProto) -> dict[str, str]:
    """Return the variant's name of each of the reference's outputs: the same, or by place.

    Raises UsageError when they cannot be paired.
    """
    ours, theirs = ([value.name for value in m.graph.output] for m in (reference, variant))
    shared = {name: name for name in ours if name in theirs}
    if shared:
        return shared
    if len(ours) != len(theirs):
        raise UsageError(
            "the two graphs have different outputs",
            why=f"one gives {', '.join(ours)}, the other {', '.join(theirs)}",
            hint="compare two files of one model that give the same outputs",
        )
    return dict(zip(ours, theirs, strict=True))
