"""What a method adds its steps to: a plan, and the steps that several methods share.

    smooth -> per-token-scale -> tanh-gelu -> tables -> block weights -> the method -> GPTQ rounding

Every step before the tables is exact in fp32, or as good as (tanh-gelu), so the graph there is what
the quantized one is held against, layer by layer.

A step that is there by default may find nothing to do, and one of a miniature too: only what the
recipe itself asks for fails then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from olive_build.engine.step import Step
from olive_build.methods._blocks import BlockWeights
from olive_build.methods.steps.gptq_rounding import GptqRounding
from olive_build.methods.steps.smoothing import Smooth
from olive_build.methods.steps.weight_only import QuantizeWeights
from olive_build.steps.notes import IF_THERE


class AddStep(Protocol):
    """Adds a step to the plan under a stage's name and returns its node."""

    def __call__(self, step: Step, inputs: Mapping[str, str], stage: str) -> str: ...


@dataclass(frozen=True)
class Chain:
    """Adds a method's steps. `calibration` adds the calibration inputs, where they are needed.

    `convolutional` models have their weights in convolutions, and hardly any in matrix products;
    `mixed` ones have both, and convolutions stay as they are: their int8 kernels are slow. Those
    that are `tied` multiply by the table that they look up in. `by_default` are the method's fields
    that the recipe does not write, and `level` gives the accuracy level of blocks by their bits.
    """

    add: AddStep
    calibration: Callable[[], str]
    convolutional: bool
    mixed: bool = False
    tied: bool = False
    miniature: bool = False
    by_default: tuple[str, ...] = ()
    level: Callable[[int], int] = lambda bits: 4

    def asked(self, field: str) -> bool:
        """Return whether the step of a field must find something to do."""
        return not self.miniature and field not in self.by_default

    def patterns(self, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """Return the patterns as a step is given them: a miniature need not have every node."""
        return tuple(f"{IF_THERE * self.miniature}{pattern}" for pattern in patterns)

    def calibrated(self, step: Step, node: str, stage: str) -> str:
        """Add a step that looks at calibration inputs."""
        return self.add(step, {"model": node, "calibration": self.calibration()}, stage)

    def smoothed(
        self, wanted: bool, activations: str, node: str, block_size: int | None = None
    ) -> str:
        """Move outliers of activations into weights, where that is wanted."""
        step = Smooth(activations, block_size, self.asked("smooth"))
        return self.calibrated(step, node, "smooth") if wanted else node

    def blocks(self, overrides: tuple[BlockWeights, ...], node: str) -> str:
        """Give the products that a recipe names their own weights, in blocks."""
        for number, item in enumerate(overrides, 1):
            step = QuantizeWeights(
                algorithm="rtn",
                bits=item.bits,
                block_size=item.block_size,
                symmetric=item.bits == 8,
                accuracy_level=self.level(item.bits),
                embeddings=False,
                only=self.patterns(item.nodes),
                exclude=(),
            )
            node = self.add(step, {"model": node}, f"block-weights-{number}")
        return node

    def rounded(self, rounding: str, node: str, before: str) -> str:
        """Choose integers again by the error of each layer's output, for `gptq`."""
        if rounding == "nearest":
            return node
        inputs = {"model": node, "before": before, "calibration": self.calibration()}
        return self.add(GptqRounding(asked=self.asked("rounding")), inputs, "gptq-rounding")
