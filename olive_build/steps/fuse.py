"""Attention into contrib operators, counted layer by layer; and rewrites that help quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.errors import StepError
from olive_build.steps.notes import leave_out


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
class FuseCachedAttention(Step):
    """Write model.onnx with one MultiHeadAttention for each of `layers` layers that have a cache.

    Inputs: model. Ours, since Olive's fusions know no attention that is given its past. Exact in
    fp32. Raises StepError when a layer is missed.
    """

    layers: int

    worker = "onnxruntime"
    stage = "fuse"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.fuse_cached_attention import fuse_cached_attention
        from olive_build.steps.model_check import MODEL, read

        model = read(inputs["model"] / MODEL)
        result = fuse_cached_attention(model)
        if result.count != self.layers:
            raise StepError(
                f"attention was fused in {result.count} of {self.layers} layers",
                why="; ".join(result.declined) or "there is no Softmax in the others",
                hint="write `fuse: {attention: plain}` for this target, or try another opset",
            )
        save_clean(model, out / MODEL)


@dataclass(frozen=True)
class SeparateProjection(Step):
    """Write model.onnx with the packed QKV projections taken out of attention, to be quantized.

    Inputs: model. A graph that has them apart already stays as it is. Raises StepError when an
    Attention operator cannot be taken apart, or there is no fused attention at all.
    """

    worker = "onnxruntime"
    stage = "fuse"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.separate_projection import separate_projection
        from olive_build.steps.model_check import MODEL, operators, read

        model = read(inputs["model"] / MODEL)
        result = separate_projection(model)
        packed = operators(model)["com.microsoft::Attention"]
        apart = operators(model)["com.microsoft::MultiHeadAttention"]
        if packed or result.declined or not apart:
            raise StepError(
                "the attention's projections could not be separated",
                why="; ".join(result.declined) or "the graph has no com.microsoft::Attention",
                hint="write `fuse: {attention: plain}` where this target quantizes weights",
            )
        save_clean(model, out / MODEL)


@dataclass(frozen=True)
class PerTokenScale(Step):
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

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.per_token_scale import per_token_scale
        from olive_build.steps.model_check import MODEL, matching_nodes, read

        model = read(inputs["model"] / MODEL)
        result = per_token_scale(
            model,
            nodes=matching_nodes(model, self.nodes, out) if self.scope == "nodes" else None,
            after_activations_only=self.scope == "after-activations",
            exclude=matching_nodes(model, self.exclude, out),
        )
        if not result.count:
            only = " and is fed by an activation function" * (self.scope == "after-activations")
            error = StepError(
                "no matrix product to scale per token was found",
                why="none has a stored weight" + only,
                hint="write `per_token: none` for this quantizer",
            )
            leave_out(error, inputs["model"], out, asked=self.asked)
            return
        save_clean(model, out / MODEL)


@dataclass(frozen=True)
class TanhGelu(Step):
    """Write model.onnx whose fused Gelus are computed by tanh, off by at most 5e-4 each.

    Inputs: model. Where there is none, the graph passes through with a note; raises StepError
    where it was `asked` for.
    """

    asked: bool = True

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.tanh_gelu import tanh_gelu
        from olive_build.steps.model_check import MODEL, read

        model = read(inputs["model"] / MODEL)
        if not tanh_gelu(model).count:
            error = StepError(
                "there is no fused Gelu to compute by tanh",
                why="the graph has neither com.microsoft BiasGelu nor Gelu",
                hint="write `gelu: exact` for this quantizer, or `fuse: {attention: fused}`",
            )
            leave_out(error, inputs["model"], out, asked=self.asked)
            return
        save_clean(model, out / MODEL)
