"""The rewrites that prepare a graph for onnxruntime-training, in order."""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx

from olive_build.rewrites.average_pool_as_convolution import average_pool_as_convolution
from olive_build.rewrites.cast_like import cast_like
from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.float_exponent import float_exponent
from olive_build.rewrites.function_body import write_out_functions
from olive_build.rewrites.gradients import lacks_gradient
from olive_build.rewrites.lift_grouped_convolution import lift_grouped_convolution
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.sequence_as_split import sequence_as_split
from olive_build.rewrites.split_as_slices import split_as_slices
from olive_build.rewrites.sum_as_add import sum_as_add
from olive_build.rewrites.three_output_layer_norm import three_output_layer_norm

Rule = Callable[[onnx.ModelProto, Collection[str]], Rewritten]


def write_out(model: onnx.ModelProto, trainable: Collection[str]) -> Rewritten:
    """Write out every operator that a gradient passes, that lacks one and that others define."""
    return write_out_functions(model, trainable, lacks_gradient)


def drop_unread(model: onnx.ModelProto, trainable: Collection[str]) -> Rewritten:
    """Remove what nothing reads, except a parameter that is to be trained, which is reported."""
    kept = [t for t in model.graph.initializer if t.name in set(trainable)]
    result = drop_dead(model)
    left = {tensor.name for tensor in model.graph.initializer}
    model.graph.initializer.extend(t for t in kept if t.name not in left)
    return result


# Names in rewrites.json -> rules. Nodes of other rules' making are CastLike, Sum and Conv in
# groups; outputs that only a gradient reads are dead until there is one, so LayerNormalization
# comes after what drops them.
RULES: dict[str, Rule] = {
    "sequence-as-split": sequence_as_split,
    "write-out": write_out,
    "cast-like": cast_like,
    "sum-as-add": sum_as_add,
    "float-exponent": float_exponent,
    "split-as-slices": split_as_slices,
    "average-pool-as-convolution": average_pool_as_convolution,
    "lift-grouped-convolution": lift_grouped_convolution,
    "drop-unread": drop_unread,
    "three-output-layer-norm": three_output_layer_norm,
}
