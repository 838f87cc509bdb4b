"""Fix a size for every symbolic axis and fold what only computed shapes: exact at that size.

NPUs compile a graph for sizes that they know. onnxruntime's helper writes the sizes into the axes,
onnxscript's optimizer folds what follows from them: Shape, Slice, Range and the masks and positions
made of them. Dimensions that are still unknown then would be found on the device only, so they are
looked for here.

Libraries: onnxruntime.tools.onnx_model_utils.make_dim_param_fixed and
onnxruntime.tools.symbolic_shape_infer; onnxscript.optimizer.fold_constants.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.errors import StepError, first_line
from olive_build.onnx_files.models import by_graph_alone
from olive_build.rewrites.clean import graphs

# What may be folded, in values: a mask of 1,024 tokens, and the positions that it is made from.
LARGEST_INPUT = 2**22
LARGEST_OUTPUT = 2**22


def fix_shapes(model: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """Return the model with these sizes of its symbolic axes and no other unknown dimension.

    Raises StepError when an axis is not in the graph, or when a dimension stays unknown: a graph
    whose shapes depend on values has no fixed ones.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    _write_sizes(fixed, sizes)
    fixed = _folded(_with_shapes(fixed))
    if _read_all_as_reshape(fixed):
        fixed = _folded(fixed)
    fixed = _with_shapes(fixed)
    unknown = unknown_dimensions(fixed)
    if unknown:
        raise StepError(
            f"{len(unknown)} values have no fixed shape",
            where=unknown[0],
            why="their shapes depend on values, or do not fit together at these sizes",
            hint="use sizes that the model was made for: a sequence no longer than its positions; "
            "otherwise leave `shapes` out for this target",
        )
    return fixed


def unknown_dimensions(model: onnx.ModelProto) -> list[str]:
    """Name each value whose shape is not all numbers: `attention_mask [batch_size, 128]`.

    Looks at the shapes that the graph carries of its ends and of what a node reads; a value
    without any is named too.
    """
    graph = model.graph
    known = {value.name: value for value in (*graph.input, *graph.output, *graph.value_info)}
    stored = {tensor.name for inner in graphs(graph) for tensor in inner.initializer}
    names = [value.name for value in (*graph.input, *graph.output)]
    names += [name for inner in graphs(graph) for node in inner.node for name in node.input]
    found = []
    for name in dict.fromkeys(name for name in names if name and name not in stored):
        value = known.get(name)
        tensor = value.type.tensor_type if value is not None else None
        if tensor is None or not tensor.HasField("shape"):
            found.append(f"{name} [?]")
        elif any(dim.dim_value < 1 for dim in tensor.shape.dim):
            axes = [str(dim.dim_value or dim.dim_param or "?") for dim in tensor.shape.dim]
            found.append(f"{name} [{', '.join(axes)}]")
    return found


def _write_sizes(model: onnx.ModelProto, sizes: Mapping[str, int]) -> None:
    from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

    there = {
        dim.dim_param
        for value in model.graph.input
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param
    }
    missing = sorted(set(sizes) - there)
    if missing:
        raise StepError(
            f"no input of the graph has the axis '{missing[0]}'",
            why=f"its symbolic axes are {', '.join(sorted(there)) or 'none'}",
            hint="remove it from `shapes`",
        )
    for axis, size in sizes.items():
        make_dim_param_fixed(model.graph, axis, size)
    # What an exporter noted of inner values is written in the axes' old names.
    del model.graph.value_info[:]
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.Clear()


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the shapes of inner values, those of com.microsoft included."""
    if any(node.domain not in ("", "ai.onnx") for node in model.graph.node):
        from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

        try:
            return by_graph_alone(
                model,
                lambda graph: SymbolicShapeInference.infer_shapes(
                    graph, auto_merge=True, guess_output_rank=False
                ),
            )
        except Exception as error:
            raise StepError("shapes cannot be inferred", why=first_line(error)) from error
    return by_graph_alone(
        model, lambda graph: onnx.shape_inference.infer_shapes(graph, data_prop=True)
    )


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx_ir
    from onnx_ir.passes import common
    from onnxscript import optimizer

    converted = onnx_ir.from_proto(model)
    optimizer.fold_constants(
        converted,
        onnx_shape_inference=True,
        input_size_limit=LARGEST_INPUT,
        output_size_limit=LARGEST_OUTPUT,
    )
    for step in (common.LiftConstantsToInitializersPass(), common.RemoveUnusedNodesPass()):
        step(converted)
    folded: onnx.ModelProto = onnx_ir.to_proto(converted)
    return folded


def _read_all_as_reshape(model: onnx.ModelProto) -> int:
    """Rewrite each GatherND whose indices read every element in its order; return how many."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    values = (*graph.input, *graph.value_info)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    count = 0
    for index, node in enumerate(graph.node):
        if node.op_type != "GatherND" or node.domain or node.input[1] not in stored:
            continue
        shape = shapes.get(node.input[0], [])
        indices = numpy_helper.to_array(stored[node.input[1]])
        if any(a.i for a in node.attribute) or not all(shape) or indices.shape[-1] != len(shape):
            continue
        order = np.ravel_multi_index(tuple(np.moveaxis(indices, -1, 0)), tuple(shape), mode="wrap")
        if not np.array_equal(order.ravel(), np.arange(int(np.prod(shape)))):
            continue
        name = f"{node.name or node.output[0]}/Reshape"
        target = np.array(indices.shape[:-1], np.int64)
        graph.initializer.append(numpy_helper.from_array(target, f"{name}/shape"))
        ends = [node.input[0], f"{name}/shape"], list(node.output)
        reshape = helper.make_node("Reshape", *ends, name=name)
        graph.node[index].CopyFrom(reshape)
        count += 1
    return count
