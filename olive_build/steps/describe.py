"""What a file is, for its manifest: inputs, outputs, opset, operators by domain and type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from olive_build.engine.step import Step, write_json

DESCRIPTION = "description.json"


@dataclass(frozen=True)
class Describe(Step):
    """Write description.json of an ONNX model. Inputs: model.

    Holds inputs and outputs (name, type, axes), opset and IR versions, operators by domain with
    counts, stored values, what the mobile usability checker of onnxruntime finds where `mobile`
    asks for it, and into how many pieces `provider` would take the graph apart ("" for none). The
    graphs inside nodes, such as branches, are counted too.
    """

    mobile: bool
    provider: str = ""

    worker = "onnxruntime"
    stage = "prove"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.steps.model_check import MODEL, read

        path = inputs["model"] / MODEL
        model = read(path, weights=False)
        description = describe(model)
        if self.provider:
            from olive_build.record.codec import encode
            from olive_build.targets.partition import partition

            description["partition"] = encode(partition(model, self.provider))
        if self.mobile:
            description["mobile_usability"] = _mobile_usability(model)
        write_json(out / DESCRIPTION, description)


def describe(model: Any) -> dict[str, Any]:
    """Return the description of a ModelProto as plain data."""
    from olive_build.rewrites.clean import graphs
    from olive_build.steps.model_check import operators

    domains: dict[str, dict[str, int]] = {}
    for name, count in sorted(operators(model).items()):
        domain, _, operator = name.rpartition("::")
        domains.setdefault(domain or "ai.onnx", {})[operator] = count
    return {
        "inputs": [_value(value) for value in model.graph.input],
        "outputs": [_value(value) for value in model.graph.output],
        "ir_version": model.ir_version,
        "opsets": {item.domain or "ai.onnx": item.version for item in model.opset_import},
        "operators": domains,
        "stored_values": sum(
            prod(tensor.dims) for graph in graphs(model.graph) for tensor in graph.initializer
        ),
    }


def _value(value: Any) -> dict[str, Any]:
    import onnx

    tensor = value.type.tensor_type
    axes = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return {"name": value.name, "type": dtype, "axes": axes}


def _mobile_usability(given: Any) -> dict[str, Any]:
    import onnx
    from onnxruntime.tools.mobile_helpers import usability_checker

    checker: Any = usability_checker
    # As the checker's own ModelProtoWithShapeInfo does, which takes all weights into memory.
    model = onnx.shape_inference.infer_shapes(given, strict_mode=True)
    checks: dict[str, Any] = {
        "nnapi": lambda fixed: checker.check_nnapi_partitions(model, fixed),
        "coreml_mlprogram": lambda fixed: checker.check_coreml_partitions(
            model, fixed, "coreml_supported_mlprogram_ops.md"
        ),
    }
    result: dict[str, Any] = {}
    for name, check in checks.items():
        for key, fixed in (("as_is", True), ("with_fixed_shapes", False)):
            info = check(fixed)
            result.setdefault(name, {})[key] = {
                "nodes": info.num_nodes,
                "supported_nodes": info.num_supported_nodes,
                "partitions": info.num_partitions,
                "suitability": info.suitability().name.lower(),
                "unsupported_operators": sorted(info.unsupported_ops),
            }
    return result
