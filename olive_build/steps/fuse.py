"""Steps that apply our rewrites to a graph: those that fuse it, and those that help quantizers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.engine.step import Step
from olive_build.errors import StepError
from olive_build.proof.seeded_inputs import seeded_inputs
from olive_build.steps.change_graph import ChangeGraph
from olive_build.steps.notes import NothingToDo, leave_out, note

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FuseAttention(Step):
    """Write model.onnx with one com.microsoft attention operator for each of `layers` layers.

    Inputs: model. Olive's OnnxScriptFusion, then the packed weights are folded. Raises StepError
    when a layer is missed: a graph that is half fused is slower and nobody sees it.
    """

    layers: int

    worker = "olive"
    stage = "fuse"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.olive_bridge import run_pass
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.fold_constant_concat import fold_constant_concat
        from olive_build.steps.model_check import MODEL, operators, read

        run_pass("OnnxScriptFusion", {}, inputs["model"] / MODEL, out)
        model = read(out / MODEL)
        fold_constant_concat(model)
        found = operators(model)
        fused = found["com.microsoft::Attention"] + found["com.microsoft::MultiHeadAttention"]
        if fused != self.layers:
            raise StepError(
                f"attention was fused in {fused} of {self.layers} layers",
                why="OnnxScriptFusion did not know the pattern of the others",
                hint="write `fuse: {attention: plain}` for this target, or try another opset",
            )
        save_clean(model, out / MODEL)


@dataclass(frozen=True)
class FuseKnownAttention(Step):
    """Write model.onnx with attention fused wherever Olive's OnnxScriptFusion knows its pattern.

    Inputs: model. For graphs of any architecture. Where none is known, where the pass fails, or
    where the fused graph gives something else, the graph stays as it is; each is noted.
    """

    worker = "olive"
    stage = "fuse"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.steps.model_check import MODEL, operators, read

        before = inputs["model"] / MODEL
        attentions = operators(read(before, weights=False))["Softmax"]
        try:
            fused = self._fused(before, out)
            apart = difference(before, out / MODEL)
            if apart > TOLERANCE:
                raise NothingToDo("attention was fused to something else", why=f"by {apart:.2g}")
        except StepError as error:
            for path in out.glob(f"{MODEL}*"):
                path.unlink()
            leave_out(NothingToDo(error.what, why=error.why), inputs["model"], out, asked=False)
        else:
            note(out, f"attention fused in {fused} of {attentions} places")

    @staticmethod
    def _fused(before: Path, out: Path) -> int:
        """Write the fused graph, and return how many attentions it has."""
        from olive_build.olive_bridge import run_pass
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.fold_constant_concat import fold_constant_concat
        from olive_build.steps.model_check import MODEL, operators, read

        run_pass("OnnxScriptFusion", {}, before, out)
        model = read(out / MODEL)
        fold_constant_concat(model)
        found = operators(model)
        fused = sum(found[f"com.microsoft::{name}"] for name in FUSED)
        if not fused:
            raise NothingToDo(
                "no attention was fused", why="OnnxScriptFusion knows no pattern of the graph"
            )
        save_clean(model, out / MODEL)
        return fused


FUSED = ("Attention", "MultiHeadAttention")
# Of the largest number: what is fused adds in another order.
TOLERANCE = 1e-4
# Batch and length at which two graphs are compared; of a batch's last half, a third is padding.
SIZES = ((2, 12), (3, 7), (1, 21))
# Of so many kinds are tokens, such as those of a question and of a text.
KINDS = (1, 2)


def difference(one: Path, other: Path) -> float:
    """Return the largest difference of two graphs' outputs over the largest number of the first.

    Both are given seeded inputs at several sizes, with padding. Raises StepError where one of them
    does not run.
    """
    import numpy as np

    from olive_build.clients.onnxruntime_client import open_session, run_named
    from olive_build.errors import first_line

    sessions, worst = [open_session(path) for path in (one, other)], 0.0
    for (batch, size), kinds in product(SIZES, KINDS):
        feeds = seeded_inputs(sessions[0].get_inputs(), size, batch, kinds=kinds)
        try:
            wanted = run_named(sessions[0], feeds)
        except Exception:
            if kinds > 1:  # The model knows one kind of tokens.
                continue
            raise
        try:
            found = run_named(sessions[1], feeds)
        except Exception as error:
            raise StepError("the fused graph does not run", why=first_line(error)) from error
        for value, expected in zip(found, wanted, strict=True):
            scale = max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
            apart = np.abs(value.astype(np.float64) - expected).max() / scale
            worst = max(worst, float(apart) if np.isfinite(apart) else float("inf"))
    return worst


@dataclass(frozen=True)
class FuseCachedAttention(ChangeGraph):
    """Write model.onnx with one MultiHeadAttention for each of `layers` layers that have a cache.

    Inputs: model. Ours, since Olive's fusions know no attention that is given its past. Exact in
    fp32. Where the pattern of a layer is not known the graph stays as it is, with a note; raises
    StepError where the recipe `asked` for it.
    """

    layers: int
    asked: bool = False

    stage = "fuse"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.fuse_cached_attention import fuse_cached_attention

        result = fuse_cached_attention(model)
        if result.count != self.layers:
            raise NothingToDo(
                f"attention can be fused in {result.count} of {self.layers} layers",
                why="; ".join(result.declined) or "there is no Softmax in the others",
                hint="write `fuse: {attention: plain}` for this target, or try another opset",
            )


@dataclass(frozen=True)
class SeparateProjection(ChangeGraph):
    """Write model.onnx with the packed QKV projections taken out of attention, to be quantized.

    Inputs: model. A graph that has them apart already stays as it is, and one without any fused
    attention unless that was `asked` for. Raises StepError when it was, and when an Attention
    operator cannot be taken apart.
    """

    asked: bool = True

    stage = "fuse"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.separate_projection import separate_projection
        from olive_build.steps.model_check import operators

        result = separate_projection(model)
        packed = operators(model)["com.microsoft::Attention"]
        apart = operators(model)["com.microsoft::MultiHeadAttention"]
        if not packed and not apart and not self.asked:
            raise NothingToDo("no projections were separated", why="no attention is fused")
        if packed or result.declined or not apart:
            raise StepError(
                "the attention's projections could not be separated",
                why="; ".join(result.declined) or "the graph has no com.microsoft::Attention",
                hint="write `fuse: {attention: plain}` where this target quantizes weights",
            )


@dataclass(frozen=True)
class PerTokenScale(ChangeGraph):
    """Write model.onnx in which matrix products scale each token by its own range.

    Inputs: model. `scope` is after-activations, all, or nodes: those that the shell patterns
    `nodes` match. What `exclude` matches stays as it is. Exact in fp32. Where there is nothing to
    scale, the graph passes through with a note; raises StepError where it was `asked` for, and
    when a pattern matches no node.
    """

    scope: str
    nodes: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    asked: bool = True

    stage = "quantize"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.per_token_scale import per_token_scale
        from olive_build.steps.model_check import matching_nodes

        result = per_token_scale(
            model,
            nodes=matching_nodes(model, self.nodes, out) if self.scope == "nodes" else None,
            after_activations_only=self.scope == "after-activations",
            exclude=matching_nodes(model, self.exclude, out),
        )
        if not result.count:
            only = " and is fed by an activation function" * (self.scope == "after-activations")
            raise NothingToDo(
                "no matrix product to scale per token was found",
                why="none has a stored weight" + only,
                hint="write `per_token: none` for this quantizer",
            )


@dataclass(frozen=True)
class TanhGelu(ChangeGraph):
    """Write model.onnx whose fused Gelus are computed by tanh, off by at most 5e-4 each.

    Inputs: model. Where there is none, the graph passes through with a note; raises StepError
    where it was `asked` for.
    """

    asked: bool = True

    stage = "quantize"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.tanh_gelu import tanh_gelu

        if not tanh_gelu(model).count:
            raise NothingToDo(
                "there is no fused Gelu to compute by tanh",
                why="the graph has neither com.microsoft BiasGelu nor Gelu",
                hint="write `gelu: exact` for this quantizer, or `fuse: {attention: fused}`",
            )


@dataclass(frozen=True)
class ShareTiedWeight(ChangeGraph):
    """Write model.onnx whose last product reads the table of its first lookup as it lies.

    Inputs: model. Exact in fp32. Raises StepError when there is no such product: the family says
    that this graph has one.
    """

    stage = "fuse"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.tied_weight import share_tied_weight

        if not share_tied_weight(model).count:
            raise StepError(
                "no product with the table of the words was found",
                why="the graph has no MatMul by the transpose of what a Gather reads",
                hint="report the model's architecture: its weights may not be tied",
            )


@dataclass(frozen=True)
class SimplifyForCpu(ChangeGraph):
    """Write model.onnx with what the CPU's kernels do slowly taken apart, and nothing dead in it.

    Inputs: model, fused. Exact in fp32 for every token that is no padding. The mask that only hides
    padding is given to attention as it is, one that hides nothing is dropped, padding's rows are
    zeroed where hidden states begin, keys and values stay split by heads, SkipLayerNormalization
    becomes a sum and a normalization, and what nobody reads is dropped. A
    rule that finds nothing to do says why in the log: graphs differ.
    """

    stage = "fuse"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.drop_dead import drop_dead
        from olive_build.rewrites.mask_padding_rows import mask_padding_rows
        from olive_build.rewrites.padding_mask import padding_mask
        from olive_build.rewrites.separate_skip_layer_norm import separate_skip_layer_norm
        from olive_build.rewrites.split_heads import keep_heads_split
        from olive_build.rewrites.zero_bias import drop_zero_bias

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
