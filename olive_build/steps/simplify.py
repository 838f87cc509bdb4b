"""Rewrites of a fused graph for one runtime's kernels, before anything is quantized."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SimplifyForCpu(Step):
    """Write model.onnx with what the CPU's kernels do slowly taken apart, and nothing dead in it.

    Inputs: model, fused. Exact in fp32 for every token that is no padding. The mask that only hides
    padding is given to attention as it is, one that hides nothing is dropped, padding's rows are
    zeroed where hidden states begin, keys and values stay split by heads, SkipLayerNormalization
    becomes a sum and a normalization, and what nobody reads is dropped. A
    rule that finds nothing to do says why in the log: graphs differ.
    """

    worker = "onnxruntime"
    stage = "fuse"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.drop_dead import drop_dead
        from olive_build.rewrites.mask_padding_rows import mask_padding_rows
        from olive_build.rewrites.padding_mask import padding_mask
        from olive_build.rewrites.separate_skip_layer_norm import separate_skip_layer_norm
        from olive_build.rewrites.split_heads import keep_heads_split
        from olive_build.rewrites.zero_bias import drop_zero_bias
        from olive_build.steps.model_check import MODEL, read

        model = read(inputs["model"] / MODEL)
        for rule in (
            drop_dead,
            padding_mask,
            mask_padding_rows,
            drop_zero_bias,
            keep_heads_split,
            separate_skip_layer_norm,
            drop_dead,
        ):
            result = rule(model)
            log.info("%s: %d changes", rule.__name__, result.count)
            for reason in result.declined:
                log.info("%s left it: %s", rule.__name__, reason)
        save_clean(model, out / MODEL)
